"""Damaged checkpoints, and files that are not checkpoints."""

import io
import pickle
import zipfile

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ignite.engine import Engine
from torch import nn

from monai_tunevlseg.training import WeightsLoader, load_weights, read_checkpoint, read_weights


class Malicious:
    """An object whose pickle runs code."""

    def __reduce__(self):
        return print, ("run",)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The bytes of a checkpoint, and the file for damaged copies of it."""
    path = tmp_path_factory.mktemp("checkpoints") / "some.pt"
    torch.manual_seed(0)
    torch.save(nn.Linear(30, 20).state_dict(), path)
    return path.read_bytes(), path


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_flipped_bit_changes_a_weight(good, data):
    """It is noticed, or is in a part of the file that is not read."""
    content, path = good
    place = data.draw(st.integers(0, len(content) * 8 - 1))
    damaged = bytearray(content)
    damaged[place // 8] ^= 1 << place % 8
    path.write_bytes(damaged)
    try:
        weights = read_weights(path)
    except ValueError as error:
        assert str(path) in str(error)
    else:
        expected = torch.load(io.BytesIO(content), weights_only=True)
        assert weights.keys() == expected.keys()
        assert all(torch.equal(weights[name], value) for name, value in expected.items())


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_truncation_names_the_file(good, data):
    content, path = good
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(ValueError, match=r"some\.pt") as raised:
        read_weights(path)
    assert "weights_only" not in str(raised.value) and "Errno" not in str(raised.value)


def saved(value):
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


def archive():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        made.writestr("some/data.pkl", b"text")
    return stream.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a checkpoint",
        b"version https://git-lfs.github.com/spec/v1",
        pickle.dumps({"weight": 1}),
        archive(),
        saved({"weight": Malicious()}),
        saved([torch.zeros(1)]),
        saved({"weight": 1.0}),
        saved({"weight": torch.tensor([0.0, float("nan")])}),
        saved({"weight": torch.tensor([0.0, float("inf")])}),
        saved({"model": {"weight": torch.tensor([0.0, float("inf")])}}),
        saved({"weight": torch.zeros(1, dtype=torch.int8)}),
        saved({"weight": torch.zeros(1, dtype=torch.complex64)}),
    ],
)
def test_a_file_without_weights_is_named(content, tmp_path, capsys):
    path = tmp_path / "some.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"some\.pt") as raised:
        read_weights(path)
    assert "weights_only" not in str(raised.value)
    assert capsys.readouterr().out == ""


def test_plain_values_beside_tensors_are_read(tmp_path):
    content = {"epoch": 3, "model": {"weight": torch.ones(2)}, "lines": [{"loss": 0.5}]}
    torch.save(content, tmp_path / "last.pt")
    read = read_checkpoint(tmp_path / "last.pt")
    assert (read["epoch"], read["lines"]) == (3, [{"loss": 0.5}])
    assert torch.equal(read_weights(tmp_path / "last.pt")["weight"], torch.ones(2))


def test_counters_and_the_extra_state_are_read(tmp_path):
    state = nn.BatchNorm2d(3).state_dict() | {"_extra_state": torch.zeros(8, dtype=torch.uint8)}
    torch.save(state, tmp_path / "some.pt")
    assert read_weights(tmp_path / "some.pt").keys() == state.keys()


@pytest.mark.parametrize("read", [read_checkpoint, read_weights])
def test_a_missing_file_is_named(read, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"some\.pt.*train\.yaml"):
        read(tmp_path / "some.pt")


@pytest.mark.parametrize("other", [nn.Linear(30, 21), nn.Linear(30, 20, bias=False), nn.Conv2d(1, 1, 1)])
def test_weights_of_another_network_name_the_file_and_the_weight(good, other):
    content, path = good
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"some\.pt.*(weight|bias)"):
        load_weights(other, path)


def test_the_handler_loads_when_the_run_starts(good):
    content, path = good
    path.write_bytes(content)
    network = nn.Linear(30, 20)
    engine = Engine(lambda engine, batch: None)
    WeightsLoader(path, network).attach(engine)
    engine.run([0])
    expected = torch.load(path, weights_only=True)
    assert all(torch.equal(value, expected[name]) for name, value in network.state_dict().items())


def test_the_handler_names_a_missing_file_before_the_run(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"some\.pt"):
        WeightsLoader(tmp_path / "some.pt", nn.Linear(1, 1))
