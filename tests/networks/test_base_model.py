"""Loading a published CLIPSeg from a folder or the hub's cache, and the errors."""

from __future__ import annotations

import json
import shutil
import socket
from fnmatch import fnmatch
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub.constants
import pytest
import torch
from huggingface_hub import HfApi, set_client_factory
from huggingface_hub.utils import httpx
from huggingface_hub.utils._http import default_client_factory
from safetensors.torch import load_file, save_file
from transformers import CLIPSegConfig, CLIPTextConfig, CLIPTextModel

from monai_tunevlseg.networks import PromptTunedCLIPSeg, load_clipseg, load_sam3, pretrained_folder
from monai_tunevlseg.networks.base_model import fingerprint

FILES = ["config.json", "preprocessor_config.json", "tokenizer_config.json", "vocab.json", "merges.txt"]


@pytest.fixture
def no_network(monkeypatch) -> list[object]:
    """Refuse every connection, and collect the addresses."""
    attempts: list[object] = []

    def refuse(*arguments, **_):
        attempts.append(arguments)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return attempts


@pytest.fixture
def folder(tiny_clipseg_dir, tmp_path) -> Path:
    """A copy of the tiny CLIPSeg, to be damaged."""
    return shutil.copytree(tiny_clipseg_dir, tmp_path / "base")


@pytest.fixture
def hub_cache(monkeypatch, tmp_path) -> Path:
    """An empty cache of the hub."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def put_in_cache(cache: Path, hub_id: str, folder: Path) -> Path:
    """Copy a model into the layout of the hub's cache."""
    model, commit = cache / f"models--{hub_id.replace('/', '--')}", "a" * 40
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text(commit)
    return Path(shutil.copytree(folder, model / "snapshots" / commit))


def change_weights(folder: Path, change) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_a_folder_is_loaded_without_the_network(folder, no_network):
    base = load_clipseg(str(folder))
    assert base.name == str(folder)
    assert load_clipseg(folder).name == str(folder), "a checkpoint holds the name, and JSON no path"
    assert base.image_size == 32
    assert base.tokenizer("polyp")["input_ids"][0] == base.tokenizer.bos_token_id
    assert {parameter.dtype for parameter in base.model.parameters()} == {torch.float32}
    assert no_network == []


def test_a_relative_folder_and_a_home_folder_are_folders(folder, monkeypatch, no_network):
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv("HOME", str(folder.parent))
    assert load_clipseg("base").fingerprint == load_clipseg("~/base").fingerprint == load_clipseg("./base").fingerprint
    assert no_network == []


def test_half_precision_on_disk_becomes_float32(folder):
    change_weights(folder, lambda weights: weights.update({k: v.half() for k, v in weights.items()}))
    config = json.loads((folder / "config.json").read_text()) | {"dtype": "float16"}
    (folder / "config.json").write_text(json.dumps(config))
    assert {parameter.dtype for parameter in load_clipseg(str(folder)).model.parameters()} == {torch.float32}


def test_the_published_layout_is_the_same_model(folder, tiny_clipseg_dir, no_network):
    """pytorch_model.bin, vocab.json and merges.txt, and a buffer that older versions saved."""
    expected = load_clipseg(str(tiny_clipseg_dir))
    weights = load_file(folder / "model.safetensors")
    weights["clip.text_model.embeddings.position_ids"] = torch.arange(77)[None]
    torch.save(weights, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    tokenizer = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "vocab.json").write_text(json.dumps(tokenizer["vocab"]))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(" ".join(pair) for pair in tokenizer["merges"]))
    (folder / "tokenizer.json").unlink()
    actual = load_clipseg(str(folder))
    assert actual.fingerprint == expected.fingerprint
    for text in ("polyp", "A photo of a Lesion!", "Überraschung 🫀", "x" * 200):
        assert actual.tokenizer(text)["input_ids"] == expected.tokenizer(text)["input_ids"]
    assert no_network == []


def change_config(folder: Path, part: str | None, **entries) -> None:
    config = json.loads((folder / "config.json").read_text())
    (config if part is None else config[part]).update(entries)
    (folder / "config.json").write_text(json.dumps(config))


def test_the_fingerprint_follows_the_weights(folder, tiny_clipseg_dir):
    original = load_clipseg(str(tiny_clipseg_dir)).fingerprint
    assert load_clipseg(str(folder)).fingerprint == original
    assert len(original) == 16
    change_weights(folder, lambda weights: weights["decoder.film_add.bias"].view(-1)[3].add_(1e-6))
    assert load_clipseg(str(folder)).fingerprint != original


@pytest.mark.parametrize(
    ("part", "entry", "value"),
    [
        (None, "extract_layers", [0, 2, 3]),
        (None, "extract_layers", [3, 2, 1]),
        (None, "conditional_layer", 1),
        (None, "decoder_num_attention_heads", 2),
        *((part, "num_attention_heads", 8) for part in ("text_config", "vision_config")),
        *((part, "hidden_act", "gelu") for part in ("text_config", "vision_config")),
        *((part, "layer_norm_eps", 1e-3) for part in ("text_config", "vision_config")),
    ],
)
def test_the_fingerprint_follows_every_setting_that_changes_the_logits(part, entry, value, folder, tiny_clipseg_dir):
    original, image = load_clipseg(str(tiny_clipseg_dir)), torch.randn(1, 3, 32, 32)
    change_config(folder, part, **{entry: value})
    changed = load_clipseg(str(folder))
    with torch.no_grad():
        logits = [PromptTunedCLIPSeg(base, ["polyp"], upsampler=False).eval()(image) for base in (original, changed)]
    assert not torch.equal(*logits)
    assert changed.fingerprint != original.fingerprint
    network = PromptTunedCLIPSeg(original, ["polyp"], "coop")
    with pytest.raises(ValueError, match=rf"{original.fingerprint}.*{changed.fingerprint}"):
        PromptTunedCLIPSeg(changed, ["polyp"], "coop").load_state_dict(network.state_dict())


def test_the_fingerprint_leaves_out_what_changes_no_result(folder, tiny_clipseg_dir):
    original = load_clipseg(str(tiny_clipseg_dir)).fingerprint
    change_config(folder, None, transformers_version="9.9", architectures=["Other"], initializer_factor=2.0)
    change_config(folder, "text_config", eos_token_id=533, initializer_range=0.5)
    (folder / "preprocessor_config.json").unlink()
    assert load_clipseg(str(folder)).fingerprint == original


def test_another_vocabulary_is_another_base(folder, tiny_clipseg_dir):
    content = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = content["model"]["vocab"]
    vocabulary["polyp</w>"], vocabulary["lesion</w>"] = vocabulary["lesion</w>"], vocabulary["polyp</w>"]
    (folder / "tokenizer.json").write_text(json.dumps(content))
    assert load_clipseg(str(folder)).fingerprint != load_clipseg(str(tiny_clipseg_dir)).fingerprint


def test_the_fingerprint_sees_shapes_and_types_and_no_names(tiny_clipseg):
    def zeros(rows: int, columns: int, dtype: torch.dtype = torch.float32) -> torch.nn.Module:
        layer = torch.nn.Linear(columns, rows, bias=False, dtype=dtype)
        torch.nn.init.zeros_(layer.weight)
        return layer

    def digest(model: torch.nn.Module) -> str:
        return fingerprint(model, {}, tiny_clipseg.tokenizer)

    kinds = [zeros(3, 2), zeros(2, 3), zeros(3, 2, torch.float16), torch.nn.Sequential(zeros(3, 2), zeros(3, 2))]
    assert len({digest(kind) for kind in kinds}) == 4
    assert digest(torch.nn.Sequential(zeros(3, 2))) == digest(zeros(3, 2)), "a library may rename its parts"


@pytest.mark.parametrize("path", ["/nowhere/base", "./nowhere", "~/nowhere", "a/b/c", ""])
def test_a_missing_folder_is_named(path, no_network):
    with pytest.raises(FileNotFoundError, match=f"'{path}'.*pretrained=FOLDER"):
        load_clipseg(path)
    assert no_network == []


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_missing_file_is_named(name, folder, no_network):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"base'.* {name};.*pretrained=FOLDER"):
        load_clipseg(str(folder))
    assert no_network == []


def test_an_empty_vocabulary_is_refused(folder):
    """For an empty vocabulary transformers returns an empty tokenizer."""
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text("{}")
    (folder / "merges.txt").write_text("#version: 0.2\n")
    with pytest.raises(FileNotFoundError, match=r"base'.*tokenizer\.json"):
        load_clipseg(str(folder))


def test_a_tokenizer_of_a_larger_vocabulary_is_refused(folder):
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"] |= {f"word{number}": 5000 + number for number in range(50)}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(ValueError, match=r"tokenizer .*base'.* \d+ .* \d+"):
        load_clipseg(str(folder))


def test_another_kind_of_model_is_named(folder):
    config = CLIPTextConfig(
        vocab_size=9, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1
    )
    CLIPTextModel(config).save_pretrained(folder)
    with pytest.raises(ValueError, match="'clip_text_model'.*'clipseg'"):
        load_clipseg(str(folder))


@pytest.mark.parametrize(
    "change",
    [
        lambda weights: weights.pop("decoder.film_mul.weight"),
        lambda weights: weights.update({"decoder.film_mul.weight": torch.zeros(3, 4)}),
    ],
    ids=["missing", "misshapen"],
)
def test_incomplete_weights_are_named(change, folder):
    change_weights(folder, change)
    with pytest.raises(ValueError, match=r"base'.* 1 .*\(decoder\.film_mul\.weight"):
        load_clipseg(str(folder))


def test_a_cached_model_is_loaded_without_the_network(folder, hub_cache, no_network):
    put_in_cache(hub_cache, "someone/clipseg-tiny", folder)
    base = load_clipseg("someone/clipseg-tiny")
    assert base.name == "someone/clipseg-tiny"
    assert base.fingerprint == load_clipseg(str(folder)).fingerprint
    assert no_network == []


@pytest.mark.parametrize("hub_id", ["CIDAS/clipseg-rd64", "clipseg", "not a valid id!"])
def test_an_unreachable_hub_gets_one_message_that_says_what_to_pass(hub_id, hub_cache, no_network):
    with pytest.raises(ConnectionError, match=f"'{hub_id}'.*pretrained=FOLDER"):
        load_clipseg(hub_id)
    assert len(no_network) <= 2  # the hub's client also detects its environment, once per process


@pytest.mark.parametrize("weights", ["model.safetensors", "pytorch_model.bin"])
def test_the_hub_is_asked_for_the_processor_files_and_one_form_of_weights(weights, folder, hub_cache, monkeypatch):
    wanted = []

    def snapshot(name, local_files_only=False, allow_patterns=()):
        if local_files_only:
            raise FileNotFoundError(name)
        wanted.extend(allow_patterns)
        return str(folder)

    files = [SimpleNamespace(rfilename=name) for name in ("config.json", weights, "sam3.pt")]
    monkeypatch.setattr(HfApi, "model_info", lambda *_, **__: SimpleNamespace(siblings=files))
    monkeypatch.setattr(pretrained_folder, "snapshot_download", snapshot)
    assert load_clipseg("CIDAS/clipseg-rd64").name == "CIDAS/clipseg-rd64"
    delivered = [name for name in (*FILES, weights, "sam3.pt") if any(fnmatch(name, pattern) for pattern in wanted)]
    assert delivered == [*FILES, weights]
    assert sum(pattern in ("*.safetensors", "*.bin") for pattern in wanted) == 1


@pytest.mark.parametrize("status", [401, 403], ids=["no account", "license not accepted"])
def test_a_gated_model_gets_one_message_that_says_what_to_accept(status, hub_cache, monkeypatch):
    """The hub lists the files of a gated model for everyone, and refuses the files themselves."""
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        if request.url.path == "/api/models/facebook/sam3":
            return httpx.Response(200, json={"id": "facebook/sam3", "siblings": [{"rfilename": "model.safetensors"}]})
        return httpx.Response(status, headers={"X-Error-Code": "GatedRepo"})

    set_client_factory(lambda: httpx.Client(transport=httpx.MockTransport(answer)))
    try:
        with pytest.raises(PermissionError, match=r"'facebook/sam3'.*co/facebook/sam3 .*hf auth login.*=FOLDER"):
            load_sam3("facebook/sam3")
    finally:
        set_client_factory(default_client_factory)
    assert len(asked) >= 2


@pytest.mark.parametrize("missing", ["model.safetensors", "tokenizer.json", "preprocessor_config.json"])
def test_a_cache_with_a_hole_asks_the_hub_once(missing, folder, hub_cache, no_network):
    """The state after an interrupted download."""
    (put_in_cache(hub_cache, "someone/clipseg-tiny", folder) / missing).unlink()
    with pytest.raises(ConnectionError, match="'someone/clipseg-tiny'.*pretrained=FOLDER"):
        load_clipseg("someone/clipseg-tiny")
    assert 1 <= len(no_network) <= 2


def test_the_default_configuration_is_the_published_size():
    """The tests of the full size rely on this."""
    config = CLIPSegConfig()
    assert (config.vision_config.hidden_size, config.text_config.hidden_size) == (768, 512)
    assert (config.vision_config.num_hidden_layers, config.extract_layers) == (12, (3, 6, 9))
