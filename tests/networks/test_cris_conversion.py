"""Conversion of the published files, in all their layouts, into a folder."""

import dataclasses
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from documentation import lines
from fake_cris_release import Sizes, clip_shapes, cris_shapes, random_weights, write_torchscript
from safetensors.torch import load_file
from transformers import CLIPTokenizer
from typer.testing import CliRunner

from monai_tunevlseg.__main__ import app
from monai_tunevlseg.networks import load_cris
from monai_tunevlseg.networks.cris import loading
from monai_tunevlseg.networks.cris.conversion import convert_cris

SMALL = {"text": 64, "text_layers": 2, "stem": 8, "blocks": (1, 2, 1, 1), "grid": 2, "joint": 24}


@pytest.fixture
def tokenizer_dir(tiny_cris_dir):
    return tiny_cris_dir


@pytest.fixture
def sizes(tokenizer_dir):
    vocab_size = len(CLIPTokenizer.from_pretrained(str(tokenizer_dir)))
    return Sizes(vocab_size=vocab_size, **SMALL, neck=(16, 64, 40), feed_forward=48)


@pytest.fixture
def clip(sizes):
    return random_weights(clip_shapes(sizes))


@pytest.fixture
def cris(sizes):
    return random_weights(cris_shapes(sizes))


def write_clip(weights, layout: str, folder: Path) -> Path:
    file = folder / "RN50.pt"
    if layout == "archive":
        return write_torchscript(weights, file)
    torch.save({"state_dict": weights} if layout == "nested" else weights, file)
    return file


def write_cris(weights, layout: str, folder: Path) -> Path:
    file = folder / "cris_best.pth"
    if "module" in layout:
        weights = {f"module.{name}": value for name, value in weights.items()}
    if "nested" in layout:
        weights = {"epoch": 50, "best_iou": 0.7, "state_dict": weights, "optimizer": {"state": {0: torch.ones(2)}}}
    torch.save(weights, file, _use_new_zipfile_serialization="legacy" not in layout)
    return file


@pytest.mark.parametrize(
    ("clip_layout", "cris_layout"),
    [
        ("archive", "module nested"),
        ("archive", "nested"),
        ("plain", "plain"),
        ("nested", "module"),
        ("plain", "module nested legacy"),
    ],
)
def test_every_layout_converts(clip, cris, tokenizer_dir, tmp_path, clip_layout, cris_layout):
    files = write_clip(clip, clip_layout, tmp_path), write_cris(cris, cris_layout, tmp_path)
    base = load_cris(str(convert_cris(*files, tokenizer_dir, tmp_path / "deep" / "out")))
    loaded = base.model.state_dict()
    assert loaded.keys() == cris.keys()
    assert all(torch.equal(loaded[name], value) for name, value in cris.items())
    expected = CLIPTokenizer.from_pretrained(str(tokenizer_dir))("red polyp")
    assert base.tokenizer("red polyp")["input_ids"] == expected["input_ids"]


def test_sizes_are_read_off_the_weights(clip, cris, tokenizer_dir, tmp_path):
    files = write_clip(clip, "plain", tmp_path), write_cris(cris, "plain", tmp_path)
    config = load_cris(str(convert_cris(*files, tokenizer_dir, tmp_path / "out"))).model.config
    assert (config.image_size, config.decoder_heads, config.dropout) == (416, 8, 0.1)
    assert (config.text_heads, config.vision_heads) == (1, 4)
    assert (config.vision_blocks, config.vision_grid, config.neck_dims) == ((1, 2, 1, 1), 2, (16, 64, 40))


def test_who_may_read_the_config_may_read_the_weights(clip, cris, tokenizer_dir, tmp_path):
    files = write_clip(clip, "plain", tmp_path), write_cris(cris, "plain", tmp_path)
    out = convert_cris(*files, tokenizer_dir, tmp_path / "out")
    assert len({file.stat().st_mode for file in out.iterdir()}) == 1


def test_an_archive_without_batch_norm_counters_is_as_good(clip, cris, tokenizer_dir, tmp_path):
    clip = {name: value for name, value in clip.items() if not name.endswith("num_batches_tracked")}
    files = write_clip(clip, "archive", tmp_path), write_cris(cris, "plain", tmp_path)
    convert_cris(*files, tokenizer_dir, tmp_path / "out")


def test_the_command_converts(clip, cris, tokenizer_dir, tmp_path):
    out = tmp_path / "out"
    files = write_clip(clip, "archive", tmp_path), write_cris(cris, "module nested", tmp_path)
    (command,) = lines("convert-cris")
    places = {"RN50.pt": files[0], "cris_best.pth": files[1], "TOKENIZER_DIR": tokenizer_dir, "CRIS_DIR": out}
    result = CliRunner().invoke(app, [str(places.get(word, word)) for word in command.split()[1:]])
    assert result.exit_code == 0
    assert result.output.strip() == str(out)
    assert load_file(out / "model.safetensors").keys() == cris.keys()


def test_the_command_says_in_one_line_what_is_wrong(tmp_path):
    files = ["--clip", "none.pt", "--cris", "none.pth", "--tokenizer", "none"]
    result = CliRunner().invoke(app, ["convert-cris", *files, str(tmp_path / "out")])
    assert result.exit_code == 1
    assert result.output.strip() == "error: the checkpoint none.pt does not exist."


def spoil(weights):
    """Remove two tensors, add one, reshape one."""
    *names, bent = [name for name in weights if "layer2.0.conv" in name]
    for name in names:
        del weights[name]
    weights["extra.weight"] = torch.ones(1)
    weights[bent] = weights[bent][:3]
    return (*names, bent)


@pytest.mark.parametrize("which", ["clip", "cris"])
def test_missing_unexpected_and_misshapen_tensors_are_listed(clip, cris, tokenizer_dir, tmp_path, which):
    first, second, bent = spoil(clip if which == "clip" else cris)
    files = write_clip(clip, "plain", tmp_path), write_cris(cris, "module nested", tmp_path)
    with pytest.raises(ValueError, match="RN50|cris_best") as caught:
        convert_cris(*files, tokenizer_dir, tmp_path / "out")
    message = str(caught.value)
    assert ("RN50.pt" if which == "clip" else "cris_best.pth") in message
    assert f"2 missing: {first}, {second}; 1 unexpected: extra.weight; 1 misshapen: {bent} [3, 16, 1, 1]" in message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["RN50.pt", "cris_best.pth"]


def test_a_long_list_is_cut(clip, cris, tokenizer_dir, tmp_path):
    cris |= {f"surplus.{number:02}": torch.ones(1) for number in range(12)}
    files = write_clip(clip, "plain", tmp_path), write_cris(cris, "plain", tmp_path)
    with pytest.raises(ValueError, match=r"12 .*surplus\.00, .*, surplus\.09, \.\.\.\.$"):
        convert_cris(*files, tokenizer_dir, tmp_path / "out")


@pytest.mark.parametrize("part", ["neck.f2_v_proj.0.weight", "decoder.layers.0.ffn.0.weight"])
def test_a_tensor_that_shows_a_size_is_missed_like_any_other(clip, cris, tokenizer_dir, tmp_path, part):
    del cris[part]
    files = write_clip(clip, "plain", tmp_path), write_cris(cris, "plain", tmp_path)
    with pytest.raises(ValueError, match=r"cris_best\.pth"):
        convert_cris(*files, tokenizer_dir, tmp_path / "out")


def test_a_checkpoint_without_its_last_decoder_layer_is_refused(clip, cris, tokenizer_dir, tmp_path):
    cris = {name: value for name, value in cris.items() if not name.startswith("decoder.layers.2")}
    files = write_clip(clip, "plain", tmp_path), write_cris(cris, "plain", tmp_path)
    with pytest.raises(ValueError, match=r"cris_best\.pth .*decoder\.layers\.2"):
        convert_cris(*files, tokenizer_dir, tmp_path / "out")


def test_a_clip_without_a_resnet_is_refused(clip, cris, tokenizer_dir, tmp_path):
    clip = {name: value for name, value in clip.items() if not name.startswith("visual.")}
    files = write_clip(clip, "plain", tmp_path), write_cris(cris, "plain", tmp_path)
    with pytest.raises(ValueError, match=r"RN50\.pt .*'visual\.bn3\.weight'"):
        convert_cris(*files, tokenizer_dir, tmp_path / "out")


class Trap:
    def __reduce__(self):
        return Path.touch, (Path("sprung"),)


def test_a_pickle_that_would_run_code_is_refused(clip, tokenizer_dir, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {}, "trap": Trap()}, "cris_best.pth")
    with pytest.raises(ValueError, match=r"cris_best\.pth"):
        convert_cris(write_clip(clip, "plain", tmp_path), Path("cris_best.pth"), tokenizer_dir, tmp_path / "out")
    assert not Path("sprung").exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"a text", pickle.dumps([1, 2], protocol=2), b"PK\x03\x04 cut off"],
    ids=["empty", "text", "list", "cut off"],
)
def test_a_file_that_is_no_checkpoint_is_named(clip, tokenizer_dir, tmp_path, content):
    (tmp_path / "cris_best.pth").write_bytes(content)
    with pytest.raises(ValueError, match=r"cris_best\.pth"):
        convert_cris(write_clip(clip, "plain", tmp_path), tmp_path / "cris_best.pth", tokenizer_dir, tmp_path / "out")


@pytest.mark.parametrize("content", [[torch.ones(1)], {"state_dict": [1]}, {0: torch.ones(1)}, {"epoch": 3}])
def test_a_checkpoint_without_weights_is_named(clip, tokenizer_dir, tmp_path, content):
    torch.save(content, tmp_path / "cris_best.pth")
    with pytest.raises(ValueError, match=r"cris_best\.pth .*'state_dict'"):
        convert_cris(write_clip(clip, "plain", tmp_path), tmp_path / "cris_best.pth", tokenizer_dir, tmp_path / "out")


def test_a_damaged_archive_is_named(clip, cris, tokenizer_dir, tmp_path):
    file = write_clip(clip, "archive", tmp_path)
    content = bytearray(file.read_bytes())
    where = content.find(b"_Holder")
    content[where : where + 7] = b"\0" * 7
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"RN50\.pt .*\("):
        convert_cris(file, write_cris(cris, "plain", tmp_path), tokenizer_dir, tmp_path / "out")


def test_a_folder_without_tokenizer_is_refused(clip, cris, tmp_path):
    files = write_clip(clip, "plain", tmp_path), write_cris(cris, "plain", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"empty'.*tokenizer\.json"):
        convert_cris(*files, tmp_path / "empty", tmp_path / "out")


def test_a_tokenizer_of_another_vocabulary_is_refused(sizes, tokenizer_dir, tmp_path):
    sizes = dataclasses.replace(sizes, vocab_size=sizes.vocab_size + 5)
    clip, cris = random_weights(clip_shapes(sizes)), random_weights(cris_shapes(sizes))
    files = write_clip(clip, "plain", tmp_path), write_cris(cris, "plain", tmp_path)
    with pytest.raises(ValueError, match=rf"vocabulary .*\b{sizes.vocab_size}\b"):
        convert_cris(*files, tokenizer_dir, tmp_path / "out")


def test_a_folder_with_something_in_it_is_left_alone(clip, cris, tokenizer_dir, tmp_path):
    files = write_clip(clip, "plain", tmp_path), write_cris(cris, "plain", tmp_path)
    out = shutil.copytree(tokenizer_dir, tmp_path / "out")
    before = sorted(path.name for path in out.iterdir())
    with pytest.raises(FileExistsError, match="/out "):
        convert_cris(*files, tokenizer_dir, out)
    assert sorted(path.name for path in out.iterdir()) == before


def test_an_interrupted_conversion_leaves_nothing(clip, cris, tokenizer_dir, tmp_path, monkeypatch):
    def no_space(*_, **__):
        raise OSError("no space left on device")

    files = write_clip(clip, "plain", tmp_path), write_cris(cris, "plain", tmp_path)
    monkeypatch.setattr(loading, "save_file", no_space)
    with pytest.raises(OSError, match="no space left"):
        convert_cris(*files, tokenizer_dir, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["RN50.pt", "cris_best.pth"]
