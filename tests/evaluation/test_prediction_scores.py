"""Scores of predicted masks: those of a bundle's evaluation, and numbers counted by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from color_network import COLORS, evaluate, split_all_to_test, write_image
from PIL import Image
from typer.testing import CliRunner

from monai_tunevlseg.__main__ import app
from monai_tunevlseg.evaluation import read_pair_scores

pytestmark = pytest.mark.filterwarnings("ignore:the splits", "ignore:.*binary")


def run(*arguments, exit_code=0):
    result = CliRunner().invoke(app, ["evaluate-predictions", *map(str, arguments), "--resamples", "200"])
    assert result.exit_code == exit_code, result.output
    return result


def classes(*names):
    return [part for name in names for part in ("--class-name", name)]


def scores_of(folder):
    """Return metrics.json and the pairs without what only a network's evaluation has."""
    metrics = json.loads((folder / "metrics.json").read_text())
    absent = dict.fromkeys(("dice", "iou", "label_pixels", "predicted_pixels", "mask"))
    return metrics, [replace(pair, **absent) for pair in read_pair_scores(folder, required=[])]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Pictures of several sizes with three classes, of which one is empty in some; each its own patient or not."""
    folder = tmp_path_factory.mktemp("pictures") / "set"
    rng = np.random.default_rng(0)
    for number, size in enumerate([(12, 20), (9, 7), (31, 16), (8, 8)]):
        noise = rng.random((6, *size))
        predictions = [noise[0] > 0.4, noise[1] > 0.6, np.zeros(size, bool)]
        write_image(folder, f"p{number}", predictions, [noise[3] > 0.5, noise[4] > 0.7][: 1 + number % 2])
    split_all_to_test(folder)
    return folder


def test_saved_masks_of_an_evaluation_have_its_scores(pictures, tmp_path):
    options = {"class_names": list(COLORS[:2]), "group_pattern": "p[01]|p[23]", "hd95": True, "surface_dice": True}
    evaluate(pictures, tmp_path / "eval", **options)
    distances = ["--hd95", "--surface-dice", "--group-pattern", "p[01]|p[23]"]
    run(tmp_path / "eval" / "predicted_masks", "folder", pictures, *classes(*COLORS[:2]), *distances)
    theirs, expected = scores_of(tmp_path / "eval")
    ours, pairs = scores_of(tmp_path / "eval" / "predicted_masks_eval")
    assert pairs == expected and len({pair.dice_original for pair in pairs}) == 6
    names = ["pairs", "images", *(name for name in theirs if "original" in name or "hd95" in name or "surface" in name)]
    assert {"iou_original_foreground", "pairs_with_hd95", "surface_dice"} < set(names)
    assert {name: ours[name] for name in names} == {name: theirs[name] for name in names}
    for part in ("intervals", "standard_deviations"):
        assert ours[part] == {name: theirs[part][name] for name in names if name in theirs[part]}
    assert (ours["clusters"], ours["bootstrap"]) == (theirs["clusters"], theirs["bootstrap"])
    assert ours["pairs_with_foreground"] is None and "dice" not in ours
    assert len(list((tmp_path / "eval" / "predicted_masks_eval" / "overlays").iterdir())) == 6
    assert len(list((tmp_path / "eval" / "predicted_masks").iterdir())) == 6


def overlap(prediction, mask):
    """Return Dice in percent by counting pixels."""
    size = prediction.sum() + mask.sum()
    return 200 * (prediction & mask).sum() / size if size else 100.0


def truth(folder, name, value):
    return np.asarray(Image.open(folder / "masks" / f"{name}.png")) == value


@pytest.fixture
def label_maps(pictures, tmp_path):
    """Random label maps of the pictures, as nnU-Net predicts them for three labels."""
    rng = np.random.default_rng(1)
    (tmp_path / "out").mkdir()
    arrays = {}
    for path in sorted((pictures / "images").iterdir()):
        with Image.open(path) as image:
            arrays[path.stem] = rng.integers(0, 3, image.size[::-1], dtype=np.uint8)
        Image.fromarray(arrays[path.stem]).save(tmp_path / "out" / path.name)
    return tmp_path / "out", arrays


def expected_dices(pictures, arrays, values):
    """Return the Dice of every pair: the classes that the masks show."""
    return [
        overlap(array == value, truth(pictures, name, number))
        for name, array in arrays.items()
        for number, value in enumerate(values, start=1)
        if truth(pictures, name, number).any()
    ]


def dices(folder):
    return [pair.dice_original for pair in read_pair_scores(folder, required=["dice_original"])]


def test_label_maps_are_scored_by_class(pictures, label_maps):
    folder, arrays = label_maps
    run(folder, "folder", pictures, *classes("red", "green"))
    result = folder.with_name("out_eval")
    assert dices(result) == pytest.approx(expected_dices(pictures, arrays, (1, 2)), abs=1e-3)
    metrics, pairs = scores_of(result)
    red = [pair.dice_original for pair in pairs if pair.class_name == "red"]
    assert len(red) == 4 and metrics["classes"]["red"]["dice_original"] == pytest.approx(np.mean(red))
    assert metrics["missing_predictions"] == 0


def test_values_of_the_predictions_are_given_or_those_of_nnunet(pictures, label_maps):
    folder, arrays = label_maps
    swapped = pytest.approx(expected_dices(pictures, arrays, (2, 1)), abs=1e-3)
    values = ["--prediction-value", "red=2", "--prediction-value", "green=1"]
    run(folder, "folder", pictures, *classes("red", "green"), *values)
    assert dices(folder.with_name("out_eval")) == swapped
    labels = {"background": 0, "green": 1, "red": 2}
    (folder / "dataset.json").write_text(json.dumps({"labels": labels, "file_ending": ".png"}))
    (folder / "plans.json").write_text("{}")
    (folder / "p0.npz").touch()
    run(folder, "folder", pictures, *classes("red", "green"))
    assert dices(folder.with_name("out_eval")) == swapped
    run(folder, "folder", pictures, *classes("green"), "--label-value", "green=2")
    assert dices(folder.with_name("out_eval")) == pytest.approx(
        [overlap(array == 1, truth(pictures, name, 2)) for name, array in arrays.items()], abs=1e-3
    )


def test_masks_of_the_dataset_that_cannot_be_read_are_listed(pictures, label_maps):
    folder, _ = label_maps
    refused = run(folder, "folder", pictures, *classes("red"), "--prediction-value", "red=1", exit_code=1).stderr
    assert "masks/p1.png" in refused and "masks/p3.png" in refused
    assert not folder.with_name("out_eval").exists()


def test_folders_of_classes_may_overlap(pictures, label_maps, tmp_path):
    _, arrays = label_maps
    for name, least in (("red", 1), ("green", 2)):
        (tmp_path / "folders" / name).mkdir(parents=True)
        for stem, array in arrays.items():
            Image.fromarray((array >= least) * np.uint8(255)).save(tmp_path / "folders" / name / f"{stem}_pred.png")
    result = run(tmp_path / "folders", "folder", pictures, *classes("red", "green"))
    assert "'_pred'" in result.stderr
    expected = [
        overlap(array >= value, truth(pictures, stem, value))
        for stem, array in arrays.items()
        for value in (1, 2)
        if truth(pictures, stem, value).any()
    ]
    assert dices(tmp_path / "folders_eval") == pytest.approx(expected, abs=1e-3)


def test_gray_predictions_are_cut_at_a_threshold(pictures, label_maps):
    folder, arrays = label_maps
    for name, array in arrays.items():
        Image.fromarray(array * np.uint8(100)).save(folder / f"{name}.png")
    red = ["folder", pictures, *classes("red"), "--label-value", "red=1"]
    refused = run(folder, *red, exit_code=1).stderr
    assert "p3.png" in refused and "prediction_threshold" in refused and "mask_threshold" not in refused
    run(folder, *red, "--prediction-threshold", 150)
    expected = [overlap(array == 2, truth(pictures, name, 1)) for name, array in arrays.items()]
    assert dices(folder.with_name("out_eval")) == pytest.approx(expected, abs=1e-3)


def test_missing_predictions_are_refused_or_empty(pictures, label_maps):
    folder, arrays = label_maps
    (folder / "p1.png").unlink()
    both = ["folder", pictures, *classes("red", "green")]
    refused = run(folder, *both, exit_code=1).stderr
    assert "p1" in refused and "p0" not in refused and "empty" in refused
    assert not folder.with_name("out_eval").exists()
    run(folder, *both, "--missing", "empty")
    arrays["p1"] = np.zeros_like(arrays["p1"])
    assert dices(folder.with_name("out_eval")) == pytest.approx(expected_dices(pictures, arrays, (1, 2)), abs=1e-3)
    assert scores_of(folder.with_name("out_eval"))[0]["missing_predictions"] == 2


def test_every_issue_is_named_before_anything_is_written(pictures, label_maps):
    folder, arrays = label_maps
    (folder / "p0.png").unlink()
    (folder / "p1.png").write_bytes(b"no picture")
    Image.fromarray(arrays["p2"].T).save(folder / "p2.png")
    Image.fromarray(arrays["p3"] + np.uint8(2)).save(folder / "p3.png")
    (folder / "stray.png").write_bytes(b"")
    lines = run(folder, "folder", pictures, *classes("red", "green"), exit_code=1).stderr.splitlines()
    assert len([line for line in lines if line.startswith("- ")]) == 5
    text = "\n".join(lines)
    for words in (("stray.png",), ("missing", "p0"), ("p1.png",), ("p2.png", "16 x 31", "31 x 16"), ("p3.png", "3, 4")):
        assert any(all(word in line for word in words) for line in lines), (words, text)
    assert not folder.with_name("out_eval").exists()


@pytest.mark.parametrize(
    ("prepare", "options", "values"),
    [
        (lambda folder: folder.rename(folder.with_name("gone")), [], ["out", "not a folder"]),
        (lambda folder: [path.unlink() for path in folder.iterdir()], [], ["out", ".png"]),
        (lambda folder: folder.rename(folder.with_name("x")) and nest(folder), [], ["'inner'", "inner"][1:]),
        (None, ["--split", "training"], ["'training'", "train, val, test"]),
        (None, ["--missing", "skip"], ["'skip'", "error", "empty"]),
        (None, ["--prediction-value", "blue=3"], ["blue", "prediction_values"]),
        (None, ["--prediction-value", "red"], ["--prediction-value 'red'"]),
        (None, ["--prediction-ending", "_x"], ["_x", "p0.png"]),
        (None, ["--output-dir", "."], ["output", "."]),
        (
            lambda folder: (folder / "dataset.json").write_text('{"labels": {"background": 0, "red": 1}}'),
            [],
            ["'green'", "dataset.json", "prediction_values"],
        ),
        (
            lambda folder: (folder / "dataset.json").write_text('{"labels": {"red": [1, 2], "green": 2}}'),
            [],
            ["[1, 2]", "dataset.json", "prediction_values"],
        ),
    ],
)
def test_bad_input_is_named(prepare, options, values, pictures, label_maps, monkeypatch):
    folder, _ = label_maps
    monkeypatch.chdir(folder.parent)
    if prepare is not None:
        prepare(folder)
    refused = run(folder, "folder", pictures, *classes("red", "green"), *options, exit_code=1).stderr
    assert [value for value in values if value not in refused] == [], refused
    assert not folder.with_name("out_eval").exists()


def nest(folder):
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "p0.png").touch()


def test_predictions_of_other_splits_are_left_out_with_a_warning(pictures, label_maps):
    folder, _ = label_maps
    result = run(folder, "folder", pictures, *classes("red", "green"), "--split", "val")
    assert "3 predictions" in result.stderr and "p1.png" in result.stderr and "p0.png" not in result.stderr
    assert len(dices(folder.with_name("out_eval"))) == 1


def test_a_class_that_no_prediction_shows_causes_a_warning(pictures, label_maps):
    folder, arrays = label_maps
    for name, array in arrays.items():
        Image.fromarray(np.minimum(array, 1)).save(folder / f"{name}.png")
    assert "'green'" in run(folder, "folder", pictures, *classes("red", "green")).stderr


def test_ignored_pixels_are_in_no_number(tmp_path):
    label = np.zeros((8, 8), np.uint8)
    label[:, :4], label[:, 4:] = 1, 255
    write_image(tmp_path / "set", "a", [label], [])
    Image.fromarray(label).save(tmp_path / "set" / "masks" / "a.png")
    (tmp_path / "set" / "dataset.json").write_text('{"class_names": ["red"], "ignore_value": 255}')
    split_all_to_test(tmp_path / "set")
    (tmp_path / "out").mkdir()
    prediction = np.zeros((8, 8), np.uint8)
    prediction[:4] = 255
    Image.fromarray(prediction).save(tmp_path / "out" / "a.png")
    run(tmp_path / "out", "folder", tmp_path / "set", *classes("red"))
    (pair,) = read_pair_scores(tmp_path / "out_eval", required=[])
    assert (pair.label_pixels_original, pair.predicted_pixels_original) == (32, 16)
    assert pair.dice_original == pytest.approx(100 * 2 * 16 / (32 + 16), abs=1e-3)


def test_names_of_converted_and_of_split_folders_lead_to_their_images(tmp_path):
    square = np.ones((8, 8), np.uint8)
    for split in ("train", "val", "test"):
        for folder in ("images", "masks"):
            (tmp_path / "set" / split / folder).mkdir(parents=True)
            pixels = square if folder == "masks" else np.stack([square] * 3, -1)
            for name in "ab":
                Image.fromarray(pixels).save(tmp_path / "set" / split / folder / f"{name}.png")
    for form, names in (("plain", ("a", "b")), ("converted", ("test__a", "test__b"))):
        (tmp_path / form).mkdir()
        for name, value in zip(names, (1, 0), strict=True):
            Image.fromarray(square * np.uint8(value)).save(tmp_path / form / f"{name}.png")
        run(tmp_path / form, "folder", tmp_path / "set", *classes("red"))
        assert dices(tmp_path / f"{form}_eval") == [100, 0]
    (tmp_path / "plain" / "test__a.png").write_bytes((tmp_path / "plain" / "a.png").read_bytes())
    refused = run(tmp_path / "plain", "folder", tmp_path / "set", *classes("red"), exit_code=1).stderr
    assert "a.png" in refused


@pytest.fixture
def volumes(tmp_path):
    """Two volumes and a picture, with boxes as masks, and predictions as arrays in the images' order."""
    arrays = {}
    for number, name in enumerate("ab"):
        mask, prediction = np.zeros((8, 12, 4), np.uint8), np.zeros((8, 12, 4), np.uint8)
        mask[2:6, 3:9, 1:3] = 1
        prediction[3 : 6 + number, 2:9, number:3] = 1
        arrays[name] = mask, prediction
        for folder, pixels in (("images", mask.astype(np.float32)), ("masks", mask)):
            (tmp_path / "set" / folder).mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(pixels, np.eye(4)), tmp_path / "set" / folder / f"{name}.nii.gz")
    write_image(tmp_path / "set", "c", [np.eye(8)], [np.eye(8)])
    (tmp_path / "set" / "splits.json").write_text('{"train": ["a"], "val": ["a"], "test": ["a", "b", "c"]}')
    (tmp_path / "out").mkdir()
    Image.fromarray(np.eye(8, dtype=bool)).save(tmp_path / "out" / "c.png")
    return tmp_path, arrays


@pytest.mark.parametrize("turned", [False, True])
def test_volumes_are_scored_as_slices_and_whole(volumes, turned):
    folder, arrays = volumes
    for name, (_, prediction) in arrays.items():
        affine = np.eye(4)
        if turned:  # the same voxels, stored from the other side
            prediction, affine[0, 0], affine[0, 3] = prediction[::-1], -1, 7
        nib.save(nib.Nifti1Image(np.ascontiguousarray(prediction), affine), folder / "out" / f"{name}.nii.gz")
    run(folder / "out", "folder", folder / "set", *classes("red"))
    metrics, pairs = scores_of(folder / "out_eval")
    whole = [overlap(*(array > 0 for array in both)) for both in arrays.values()]
    assert [volume["dice"] for volume in metrics["volumes"]["per_volume"]] == pytest.approx(whole, abs=1e-3)
    slices = [
        overlap(prediction[..., index] > 0, mask[..., index] > 0)
        for mask, prediction in arrays.values()
        for index in range(3, -1, -1)
        if mask[..., index].any()
    ]
    assert dices(folder / "out_eval") == pytest.approx([*slices, 100], abs=1e-3)
    assert [pair.slice for pair in pairs] == [1, 2, 1, 2, None]
    assert metrics["slices_without_foreground"] == {
        "pairs": 4,
        "with_prediction": 1,
        "false_positive_share": 25,
        "predicted_pixels_original": 3 * 7,
    }


def test_volumes_elsewhere_cause_a_warning_and_pictures_of_volumes_are_refused(volumes):
    folder, arrays = volumes
    for name, (_, prediction) in arrays.items():
        nib.save(nib.Nifti1Image(prediction, np.diag([2.0, 2, 2, 1])), folder / "out" / f"{name}.nii.gz")
    assert "a.nii.gz, b.nii.gz" in run(folder / "out", "folder", folder / "set", *classes("red")).stderr
    (folder / "out" / "a.nii.gz").unlink()
    Image.new("L", (8, 12)).save(folder / "out" / "a.png")
    assert "a.png" in run(folder / "out", "folder", folder / "set", *classes("red"), exit_code=1).stderr
