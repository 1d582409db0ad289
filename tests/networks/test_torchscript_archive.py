"""Tensors of a TorchScript archive: equal to those that torch reads, without running the archive's code."""

from __future__ import annotations

import io
import pickle
import re
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from fake_cris_release import Sizes, clip_shapes, cris_shapes, random_weights, write_torchscript
from torch import nn

from monai_tunevlseg.networks.cris.conversion import read_clip, read_state_dict
from monai_tunevlseg.networks.cris.torchscript_archive import is_torchscript, read_tensors

SMALL = Sizes(vocab_size=20, text=64, text_layers=2, stem=8, blocks=(1, 2, 1, 1), grid=2, joint=24)


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """A small version of CLIP's published archive: half precision, and settings among the weights."""
    return write_torchscript(random_weights(clip_shapes(SMALL)), tmp_path_factory.mktemp("clip") / "RN50.pt")


def test_the_tensors_are_those_that_torch_reads(clip):
    expected, found = torch.jit.load(str(clip)).state_dict(), read_tensors(clip)
    assert found.keys() == expected.keys()
    assert {"input_resolution", "context_length", "vocab_size"} <= found.keys()
    assert all(torch.equal(found[name], value) and found[name].dtype == value.dtype for name, value in expected.items())
    assert {value.dtype for value in found.values() if value.is_floating_point()} == {torch.float16}
    assert read_clip(clip).keys() == set(expected) - {"input_resolution", "context_length", "vocab_size"}


def test_views_of_one_storage_and_empty_tensors_are_read(tmp_path):
    class Views(nn.Module):
        def __init__(self):
            super().__init__()
            whole = torch.arange(12.0).reshape(3, 4)
            self.register_buffer("rows", whole[1:])
            self.register_buffer("turned", whole.t())
            self.register_buffer("empty", torch.empty(0, 3))
            self.flags = [1, 2]

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.rows.sum() + self.flags[0]

    model = Views()
    torch.jit.script(model).save(str(tmp_path / "views.pt"))
    found = read_tensors(tmp_path / "views.pt")
    assert found.keys() == model.state_dict().keys()
    assert all(torch.equal(found[name], value) for name, value in model.state_dict().items())


class Writes(nn.Module):
    """A module that writes a file as soon as torch loads its archive."""

    def __init__(self, target: str) -> None:
        super().__init__()
        self.target = target
        self.register_buffer("weight", torch.ones(3))

    @torch.jit.export
    def __getstate__(self) -> tuple[str, torch.Tensor]:
        return self.target, self.weight

    @torch.jit.export
    def __setstate__(self, state: tuple[str, torch.Tensor]) -> None:
        self.target = state[0]
        self.weight = state[1]
        torch.save(self.weight, self.target)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


class Loops(nn.Module):
    """A module whose loading never ends."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 1

    @torch.jit.export
    def __getstate__(self) -> int:
        return self.count

    @torch.jit.export
    def __setstate__(self, state: int) -> None:
        self.count = state
        while self.count > 0:
            self.count += 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


@pytest.mark.parametrize("read", [read_tensors, read_clip])
def test_code_that_runs_when_torch_loads_an_archive_does_not_run(read, tmp_path):
    target, archive = tmp_path / "written", tmp_path / "RN50.pt"
    torch.jit.script(Writes(str(target))).save(str(archive))
    with pytest.raises(ValueError, match=r"RN50\.pt .*\btuple\b"):
        read(archive)
    assert not target.exists()


def test_an_archive_that_would_never_end_is_refused(tmp_path):
    torch.jit.script(Loops()).save(str(tmp_path / "RN50.pt"))
    with pytest.raises(ValueError, match=r"RN50\.pt .*\bint\b"):
        read_tensors(tmp_path / "RN50.pt")


def test_the_published_attacks_are_refused(shared_dir):
    for archive in sorted((shared_dir / "cases").rglob("RN50_*.pt")):
        with pytest.raises(ValueError, match=archive.name):
            read_clip(archive)


def rewritten(archive: Path, target: Path, change: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    """Copy an archive and replace members."""
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(target, "w", compression) as new:
        folder = old.namelist()[0].split("/")[0]
        for name in old.namelist():
            member = name.removeprefix(f"{folder}/")
            new.writestr(name, change.get(member, old.read(name)))
    return target


class Reduced:
    """An object that pickles as a call."""

    def __init__(self, function, *arguments) -> None:
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "function",
    [Path.touch, eval, exec, __import__, getattr, io.open, pickle.loads, torch.load, torch.save, torch.hub.load],
    ids=lambda function: function.__qualname__,
)
def test_a_pickle_that_calls_anything_is_refused(function, clip, tmp_path):
    content = pickle.dumps({"weight": Reduced(function, "sprung")}, protocol=2)
    archive = rewritten(clip, tmp_path / "RN50.pt", {"data.pkl": content})
    with pytest.raises(ValueError, match=rf"RN50\.pt .*\.(getattr|{function.__name__})\b"):
        read_tensors(archive)


@pytest.mark.parametrize(
    "name", ["torch._utils\n_rebuild_tensor_v3", "torch._utils\nload", "torch\nload", "builtins\neval"]
)
def test_neighbors_of_allowed_names_are_refused(name, clip, tmp_path):
    archive = rewritten(clip, tmp_path / "RN50.pt", {"data.pkl": f"c{name}\n.".encode()})
    with pytest.raises(ValueError, match=re.escape(name.replace("\n", "."))):
        read_tensors(archive)


TENSOR = (
    "(ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\00X\x03\0\0\0cpuK\x04tQ"
)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x02",
        b"not a pickle",
        b"(" * 100_000 + b".",
        b"\x80\x02c__torch__\nA\n)\x81}X\x01\x00\x00\x00wctorch\nFloatStorage\nQsb.",  # a reference that is not a tuple
        b"\x80\x02c__torch__\nA\n)\x81}X\x01\x00\x00\x00w(X\x04\x00\x00\x00fileNX\x01\x00\x00\x000NNtQsb.",
    ],
    ids=["empty", "cut", "text", "deep", "type", "file"],
)
def test_a_pickle_of_something_else_is_named(content, clip, tmp_path):
    with pytest.raises(ValueError, match=r"RN50\.pt .*\("):
        read_tensors(rewritten(clip, tmp_path / "RN50.pt", {"data.pkl": content}))


def test_a_tensor_that_reaches_beyond_its_storage_is_refused(clip, tmp_path):
    archive = rewritten(clip, tmp_path / "RN50.pt", {"data/0": b"1234"})
    with pytest.raises(ValueError, match=r"RN50\.pt"):
        read_tensors(archive)


def test_modules_that_hold_each_other_are_refused(clip, tmp_path):
    # A.entries = {"a": A}
    content = b"\x80\x02c__torch__\nA\n)\x81q\x00}X\x01\x00\x00\x00ah\x00sb."
    with pytest.raises(ValueError, match=r"RN50\.pt .*\b100000\b"):
        read_tensors(rewritten(clip, tmp_path / "RN50.pt", {"data.pkl": content}))


def test_a_compressed_archive_is_refused(clip, tmp_path):
    """A zip bomb expands to any size."""
    archive = rewritten(clip, tmp_path / "RN50.pt", {}, zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match=r"RN50\.pt .*data\.pkl"):
        read_tensors(archive)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_an_archive_that_was_cut_off_is_named(share, clip, tmp_path):
    content = clip.read_bytes()
    (tmp_path / "RN50.pt").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match=r"RN50\.pt"):
        read_clip(tmp_path / "RN50.pt")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.pt"):
        read_clip(tmp_path / "none.pt")


def test_a_torchscript_archive_in_the_place_of_criss_checkpoint_is_refused(clip, tmp_path):
    archive = Path(shutil.copy(clip, tmp_path / "cris_best.pth"))
    assert is_torchscript(archive)
    with pytest.raises(ValueError, match=r"cris_best\.pth"):
        read_state_dict(archive)


def test_the_reason_of_a_refusal_is_said_in_full(tmp_path):
    torch.save({"state_dict": {}, "best": Reduced(Path, "x")}, tmp_path / "cris_best.pth")
    with pytest.raises(ValueError, match=r"cris_best\.pth .*GLOBAL pathlib\.\w*Path\b") as said:
        read_state_dict(tmp_path / "cris_best.pth")
    assert "weights_only=False" not in str(said.value)


def test_shapes_of_a_whole_release_are_read(tmp_path):
    weights = random_weights(cris_shapes(SMALL))
    archive = write_torchscript(weights, tmp_path / "any.pt")
    assert {name: value.shape for name, value in weights.items()}.items() <= {
        name: value.shape for name, value in read_tensors(archive).items()
    }.items()
