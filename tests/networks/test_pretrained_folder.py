"""Damaged base models: every error names the file, and no model of absurd size is built."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from monai_tunevlseg.networks import VLSMS, load_clipseg

pytestmark = pytest.mark.usefixtures("quiet_transformers")

every_model = pytest.mark.parametrize("model", list(VLSMS))
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 603\n"


@pytest.fixture
def folder(model, request, tmp_path) -> Path:
    """A copy of a tiny base model, to be damaged."""
    return shutil.copytree(request.getfixturevalue(f"tiny_{model}_dir"), tmp_path / "base")


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def put_weights(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def as_pickle(folder: Path) -> Path:
    torch.save(weights_of(folder), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder / "pytorch_model.bin"


def change_config(folder: Path, part: str | None, entry: str, value) -> None:
    config = json.loads((folder / "config.json").read_text())
    (config if part is None else config[part])[entry] = value
    (folder / "config.json").write_text(json.dumps(config))


@every_model
@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"])
def test_a_git_lfs_pointer_is_refused(model, name, folder):
    (folder / name).write_text(POINTER)
    with pytest.raises(ValueError, match=f"base/{name} .*git-lfs"):
        VLSMS[model].load_base(folder)


@every_model
@pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.999])
def test_weights_that_were_cut_off_are_named(model, share, folder):
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match=r"base/model\.safetensors .*\("):
        VLSMS[model].load_base(folder)


@pytest.mark.parametrize("model", ["clipseg"])
@pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.999])
def test_so_are_those_of_a_pickle(model, share, folder):
    file = as_pickle(folder)
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match=r"base/pytorch_model\.bin"):
        VLSMS[model].load_base(folder)


@every_model
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\x00\xff", b"[" * 100_000], ids=["empty", "cut", "list", "bytes", "deep"]
)
def test_damaged_json_is_named(model, name, content, folder):
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"base/{name}"):
        VLSMS[model].load_base(folder)


@pytest.mark.parametrize("model", ["clipseg"])
@pytest.mark.parametrize(
    ("part", "entry", "value"),
    [
        *(
            (part, "num_hidden_layers", value)
            for part in ("text_config", "vision_config")
            for value in (10**7, 2, 0, -1)
        ),
        *(
            (part, "num_hidden_layers", value)
            for part in ("text_config", "vision_config")
            for value in ("12", 1.5, None)
        ),
        *((part, "num_attention_heads", value) for part in ("text_config", "vision_config") for value in (0, 5, "4")),
        *((part, "hidden_size", value) for part in ("text_config", "vision_config") for value in (10**6, 0, -4, 64)),
        *((part, "intermediate_size", value) for part in ("text_config", "vision_config") for value in (10**9, 3)),
        *((part, "hidden_act", value) for part in ("text_config", "vision_config") for value in ("mish!", 3)),
        ("text_config", "vocab_size", 10**9),
        ("text_config", "max_position_embeddings", 10**9),
        ("vision_config", "image_size", 10**6),
        ("vision_config", "image_size", [24, 24]),
        ("vision_config", "patch_size", 0),
        ("vision_config", "patch_size", "8"),
        ("vision_config", "num_channels", 1),
        *((None, "extract_layers", value) for value in ([], [0, 1, 5], [-1, 1, 2], "abc", None, [0] * 10**4)),
        *((None, "conditional_layer", value) for value in (3, -1, "0")),
        *((None, "projection_dim", value) for value in (10**9, 0)),
        *((None, "reduce_dim", value) for value in (10**9, -1)),
        *((None, "decoder_num_attention_heads", value) for value in (0, 3)),
        (None, "text_config", 3),
        (None, "vision_config", []),
    ],
)
def test_sizes_that_are_absurd_or_none_are_refused_in_no_time(model, part, entry, value, folder):
    change_config(folder, part, entry, value)
    with pytest.raises(ValueError, match="base"):
        VLSMS[model].load_base(folder)


@pytest.mark.parametrize("model", ["cris"])
@pytest.mark.parametrize(
    ("entry", "value"),
    [
        *((entry, value) for entry in ("text_layers", "decoder_layers") for value in (10**7, 1, 0, "4", 1.5)),
        ("vision_blocks", [10**7, 1, 1, 1]),
        ("vision_blocks", [1, 1, 1]),
        ("text_width", 10**9),
        ("vocab_size", 10**12),
        ("dropout", float("nan")),
        ("image_size", 10**9),
    ],
)
def test_so_are_those_of_cris(model, entry, value, folder):
    change_config(folder, None, entry, value)
    with pytest.raises(ValueError, match="base"):
        VLSMS[model].load_base(folder)


@every_model
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_not_finite_are_refused_by_the_weights_name(model, bad, folder):
    weights = weights_of(folder)
    name = sorted(name for name in weights if weights[name].is_floating_point())[3]
    weights[name].view(-1)[-1] = bad
    put_weights(folder, weights)
    with pytest.raises(ValueError, match=rf"{name} .*base\b.*NaN"):
        VLSMS[model].load_base(folder)


@every_model
@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int64, torch.float8_e4m3fn])
def test_weights_in_other_numbers_are_refused_by_name(model, dtype, folder):
    weights = weights_of(folder)
    name = sorted(name for name in weights if weights[name].is_floating_point())[3]
    weights[name] = weights[name].to(dtype)
    put_weights(folder, weights)
    with pytest.raises(ValueError, match=rf"{name} .*base\b.*float32"):
        VLSMS[model].load_base(folder)


@pytest.mark.parametrize("model", ["clipseg"])
def test_an_index_of_parts_is_read_and_a_missing_part_named(model, folder):
    expected = load_clipseg(folder).fingerprint
    weights = weights_of(folder)
    (folder / "model.safetensors").unlink()
    names, parts = sorted(weights), {}
    for number in range(2):
        parts |= dict.fromkeys(names[number::2], f"part-{number}.safetensors")
        save_file(
            {name: weights[name] for name in names[number::2]}, folder / f"part-{number}.safetensors", {"format": "pt"}
        )
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": parts}))
    assert load_clipseg(folder).fingerprint == expected
    (folder / "part-1.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"index\.json .*part-1\.safetensors"):
        load_clipseg(folder)


@pytest.mark.parametrize("model", ["clipseg"])
@pytest.mark.parametrize(
    "content", [{}, {"weight_map": {}}, {"weight_map": {"a": "../other.bin"}}, {"weight_map": {"a": 3}}]
)
def test_an_index_of_something_else_is_named(model, content, folder):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="base"):
        load_clipseg(folder)


class Trap:
    def __reduce__(self):
        return Path.touch, (Path("sprung"),)


@pytest.mark.parametrize("model", ["clipseg"])
def test_a_pickle_that_would_run_code_is_refused(model, folder, monkeypatch):
    monkeypatch.chdir(folder)
    torch.save(weights_of(folder) | {"trap": Trap()}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"base/pytorch_model\.bin"):
        load_clipseg(folder)
    assert not Path("sprung").exists()
