"""The file of a calibration, and which files are refused."""

import json
import math

import pytest

from monai_tunevlseg.calibration import (
    CALIBRATION,
    Calibration,
    ClassCalibration,
    PresenceCalibration,
    read_calibration,
    remove_calibration,
    write_calibration,
)
from monai_tunevlseg.digests import file_digest

POLYP = ClassCalibration(1.5, 0.4, pairs=7, log_loss=0.2, log_loss_before=0.3, dice=80, dice_before=79.5)
PRESENCE = PresenceCalibration(2.5, -1, present=7, absent=20, log_loss=0.1, log_loss_before=0.4)
FITTED = Calibration({"polyp": POLYP}, PRESENCE)


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(b"weights")
    write_calibration(path, FITTED, file_digest(path))
    return path


def test_what_is_written_is_read(checkpoint):
    assert read_calibration(checkpoint) == FITTED
    content = json.loads(checkpoint.with_name(CALIBRATION).read_text())
    assert (content["split"], content["checkpoint_digest"]) == ("val", file_digest(checkpoint))


def test_what_was_not_fitted_is_left_out(checkpoint):
    for calibration in (Calibration({"polyp": POLYP}), Calibration({}, PRESENCE)):
        write_calibration(checkpoint, calibration, file_digest(checkpoint))
        assert read_calibration(checkpoint) == calibration


def test_a_checkpoint_without_one_and_no_checkpoint_have_none(checkpoint):
    remove_calibration(checkpoint)
    remove_calibration(checkpoint)
    assert read_calibration(checkpoint) is None
    assert read_calibration(checkpoint.with_name("folder") / "model.pt") is None


def test_that_of_another_checkpoint_is_refused(checkpoint):
    before = file_digest(checkpoint)
    checkpoint.write_bytes(b"other weights")
    after = file_digest(checkpoint)
    with pytest.raises(ValueError, match=f"calibration.json.*{before}.*model.pt.*{after}.*calibration.*off"):
        read_calibration(checkpoint)


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("temperature", 0),
        ("temperature", 1e-50),
        ("temperature", -1),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("temperature", 1e-50),  # 0 in float32
        ("temperature", "1"),
        ("threshold", 0),
        ("threshold", 1e-300),
        ("threshold", 1),
        ("threshold", 1e-300),  # below the logit of silenced masks
        ("pairs", 0),
        ("dice", 101),
        ("bias", 1),
    ],
)
def test_a_wrong_value_is_refused(checkpoint, entry, value):
    path = checkpoint.with_name(CALIBRATION)
    content = json.loads(path.read_text())
    content["classes"]["polyp"][entry] = value
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="calibration.json"):
        read_calibration(checkpoint)


@pytest.mark.parametrize(
    ("entry", "value"),
    [("temperature", 0), ("bias", math.nan), ("bias", math.inf), ("bias", None), ("absent", 0), ("threshold", 0.5)],
)
def test_a_wrong_value_of_presence_is_refused(checkpoint, entry, value):
    path = checkpoint.with_name(CALIBRATION)
    content = json.loads(path.read_text())
    content["presence"][entry] = value
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="calibration.json"):
        read_calibration(checkpoint)


@pytest.mark.parametrize("value", [None, 5, "polyp", [1]])
@pytest.mark.parametrize(
    "place",
    [lambda content: (content["classes"], "polyp"), lambda content: (content, "presence")],
    ids=["class", "presence"],
)
def test_what_is_not_fitted_numbers_is_refused(checkpoint, place, value):
    path = checkpoint.with_name(CALIBRATION)
    content = json.loads(path.read_text())
    parent, name = place(content)
    parent[name] = value
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"calibration.json.*{name}"):
        read_calibration(checkpoint)


def test_the_option_decides_whether_it_is_read(checkpoint):
    assert read_calibration(checkpoint, "auto") == FITTED
    checkpoint.with_name(CALIBRATION).write_text("damaged")
    assert read_calibration(checkpoint, "off") is None
    assert read_calibration(checkpoint, False) is None  # a bare off in YAML 1.1
    for option in ("of", "on", True, None):
        with pytest.raises(ValueError, match=f"calibration is {option!r}"):
            read_calibration(checkpoint, option)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"classes": 3}', '{"classes": {"polyp": 1}}'])
def test_another_file_is_refused(checkpoint, text):
    checkpoint.with_name(CALIBRATION).write_text(text)
    with pytest.raises(ValueError, match="calibration.json"):
        read_calibration(checkpoint)


@pytest.mark.parametrize("value", [None, 5, [], "1"])
def test_fits_that_are_no_objects_are_refused(checkpoint, value):
    path = checkpoint.with_name(CALIBRATION)
    whole = json.loads(path.read_text())
    for damaged in (whole | {"presence": value}, whole | {"classes": {"polyp": value}}):
        path.write_text(json.dumps(damaged))
        with pytest.raises(ValueError, match="calibration.json"):
            read_calibration(checkpoint)


def test_the_calibration_of_another_split_is_refused(checkpoint):
    path = checkpoint.with_name(CALIBRATION)
    path.write_text(path.read_text().replace('"val"', '"test"'))
    with pytest.raises(ValueError, match="test"):
        read_calibration(checkpoint)


@pytest.mark.parametrize(("temperature", "threshold"), [(0, 0.5), (math.nan, 0.5), (1, 0), (1, 1)])
def test_numbers_out_of_range_are_named(temperature, threshold):
    with pytest.raises(ValueError, match="temperature is|threshold is"):
        ClassCalibration(temperature, threshold, 1, 0, 0, 0, 0)
