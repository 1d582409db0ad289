import colorsys
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from monai_tunevlseg.atomic_files import atomic_file
from monai_tunevlseg.evaluation import PairScores
from monai_tunevlseg.evaluation.example_overlays import choose_examples, mask_name, write_example_overlays, write_mask

pair_scores = st.builds(
    lambda dice, area, predicted: PairScores(
        "a", None, "x", "x", dice=dice, label_pixels=area, predicted_pixels=predicted, label_pixels_original=area
    ),
    st.sampled_from([0.0, 30.0, 60.0, 100.0]),
    st.integers(0, 3),
    st.integers(0, 3),
)


@given(st.lists(pair_scores, max_size=20), st.integers(0, 6))
def test_chosen_pairs_are_worst_median_and_best(listed, count):
    chosen = choose_examples(listed, count)
    indices = [index for rank in chosen.values() for index in rank]
    assert len(indices) == len(set(indices))
    assert all(len(rank) <= count for rank in chosen.values())
    dice = {rank: [listed[index].dice for index in indices] for rank, indices in chosen.items()}
    assert dice["worst"] == sorted(pair.dice for pair in listed)[:count]
    assert dice["best"] == sorted(dice["best"], reverse=True)
    for rank in ("median", "best"):
        assert all(listed[index].label_pixels for index in chosen[rank])
    rest = [listed[index].dice for index in range(len(listed)) if index not in indices and listed[index].label_pixels]
    if rest and count:
        assert max(rest) <= min(dice["best"])


def test_the_median_is_in_the_middle():
    listed = [
        PairScores("a", None, "x", "x", dice=float(dice), label_pixels=1) for dice in (90, 10, 50, 70, 30, 60, 40)
    ]
    assert choose_examples(listed, 1) == {"worst": [1], "median": [2], "best": [0]}
    assert choose_examples(listed, 2) == {"worst": [1, 4], "median": [2, 6], "best": [0, 3]}


def test_of_two_misses_the_larger_is_the_worse():
    missed = PairScores("a", None, "x", "x", dice=0.0, label_pixels=5, predicted_pixels=0)
    assert choose_examples([missed, replace(missed, predicted_pixels=9)], 1)["worst"] == [1]


def hue(pixels):
    return [round(colorsys.rgb_to_hsv(*(pixel / 255))[0], 2) for pixel in pixels.reshape(-1, 3)]


@pytest.fixture
def written(tmp_path):
    """Draw one gray picture: mask in the left half, prediction in the upper half, ignored in the right fifth."""
    label = np.zeros((200, 500), np.uint8)
    label[:, :250] = 1
    label[:, 400:] = 255
    prediction = np.zeros((200, 500), bool)
    prediction[:100] = True
    Image.fromarray(np.full((200, 500, 3), 128, np.uint8)).save(tmp_path / "gray.png")
    Image.fromarray(label).save(tmp_path / "label.png")
    sample = {
        "image": str(tmp_path / "gray.png"),
        "label": str(tmp_path / "label.png"),
        "label_value": 1,
        "ignore_value": 255,
        "class_name": "left / right: ü?",
        "text": "x",
        "number": 7,
    }
    write_mask(tmp_path / mask_name(sample), prediction)
    scores = PairScores("gray.png", None, sample["class_name"], "x", dice=12.345, label_pixels=1, predicted_pixels=1)
    write_example_overlays(tmp_path / "overlays", [scores], [sample], {0: tmp_path / mask_name(sample)}, count=1)
    (path,) = (tmp_path / "overlays").iterdir()
    return path


def test_an_overlay_is_named_by_rank_and_pair(written):
    assert written.name == "worst_01_dice_012.3_gray_left-right-ü-.png"


def test_mask_prediction_and_ignored_pixels_differ_in_color(written):
    picture = np.asarray(Image.open(written))
    caption = len(picture) - 200
    assert picture.shape[1] == 500 and 40 < caption < 120
    picture = picture[caption:]
    green, azure = 0.33, 0.57
    # the prediction is filled, and its lower border is a line of its own color
    assert set(hue(picture[20:80, 300:380])) == {green}
    assert picture[99, 330].tolist() == picture[99, 390].tolist() != picture[50, 330].tolist()
    # the mask is an outline, also where the prediction is
    assert hue(picture[50:51, 249:250]) == hue(picture[150:151, 249:250]) == [azure]
    # outside of both, and inside the mask where nothing was predicted, the picture is unchanged
    assert set(picture[150, 20:240].flatten()) == set(picture[150, 260:380].flatten()) == {128}
    # ignored pixels are dark and show no prediction
    assert set(picture[:, 405:].flatten()) == {32}


def test_small_pictures_are_enlarged_and_large_ones_reduced(tmp_path):
    for size, expected in (((20, 40), (200, 400)), ((3000, 1500), (1024, 512))):
        folder = tmp_path / str(size)
        folder.mkdir()
        for name in ("image.png", "label.png", "pred.png"):
            Image.fromarray(np.zeros(size, np.uint8)).save(folder / name)
        paths = {"image": str(folder / "image.png"), "label": str(folder / "label.png")}
        sample = paths | {"class_name": "x", "text": "x"}
        scores = PairScores("image.png", None, "x", "x", dice=100.0)
        write_example_overlays(folder / "overlays", [scores], [sample], {0: folder / "pred.png"}, count=1)
        (path,) = (folder / "overlays").iterdir()
        width, height = Image.open(path).size
        assert width == expected[1] and 0 < height - expected[0] < 0.3 * height


def test_slices_are_turned_upright(tmp_path):
    """In a volume with the first axis to the left and the second to the back, rows run along the second axis."""
    values = np.zeros((60, 40, 3), np.float32)
    mask = np.zeros((60, 40, 3), np.uint8)
    mask[40:, 30:, 1] = 1  # towards the left, at the back
    for name, array in (("image", values), ("label", mask)):
        nib.save(nib.Nifti1Image(array, np.diag([-1.0, -1, 1, 1])), tmp_path / f"{name}.nii.gz")
    sample = {
        "image": str(tmp_path / "image.nii.gz"),
        "label": str(tmp_path / "label.nii.gz"),
        "slice": 1,
        "slice_axis": 2,
        "class_name": "x",
        "text": "x",
        "number": 0,
    }
    write_mask(tmp_path / mask_name(sample), mask[:, :, 1].T > 0)
    scores = PairScores("image.nii.gz", 1, "x", "x", dice=100.0, label_pixels=1)
    write_example_overlays(tmp_path / "overlays", [scores], [sample], {0: tmp_path / mask_name(sample)}, count=1)
    (path,) = (tmp_path / "overlays").iterdir()
    assert path.name == "worst_01_dice_100.0_image_1_x.png"
    picture = np.asarray(Image.open(path)).astype(int)
    picture = picture[len(picture) - 267 :]  # 400 x 267: the 60 x 40 of the slice, enlarged
    drawn = np.argwhere(picture.sum(axis=2) > 0)
    assert drawn[:, 0].min() > 190  # below: at the back
    # NIfTI counts towards the right; this file's first axis counts towards the left, which is shown on the right
    assert drawn[:, 1].min() > 260


def test_a_nifti_picture_has_its_first_axis_across(tmp_path):
    mask = np.zeros((60, 40), np.uint8)
    mask[50:, :10] = 1  # the end of the first axis, the start of the second: above, on the right
    for name, array in (("image", np.zeros((60, 40), np.float32)), ("label", mask)):
        nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / f"{name}.nii.gz")
    paths = {name: str(tmp_path / f"{name}.nii.gz") for name in ("image", "label")}
    sample = paths | {"class_name": "x", "text": "x", "number": 0}
    write_mask(tmp_path / "mask.png", mask.T > 0)
    scores = PairScores("image.nii.gz", None, "x", "x", dice=100.0, label_pixels=1)
    write_example_overlays(tmp_path / "overlays", [scores], [sample], {0: tmp_path / "mask.png"}, count=1)
    (path,) = (tmp_path / "overlays").iterdir()
    picture = np.asarray(Image.open(path)).astype(int)
    drawn = np.argwhere(picture[len(picture) - 267 :].sum(axis=2) > 0)
    assert picture.shape[1] == 400
    assert drawn[:, 0].max() < 70 and drawn[:, 1].min() > 330


@pytest.mark.parametrize("letter", ["a", "\u00e9", "\u8178", "\U0001d54f"])
def test_names_of_pictures_fit_a_file_system_in_any_script(letter, tmp_path):
    sample = {"number": 123_456, "image": f"images/{letter * 100}.png", "slice": 7, "class_name": letter * 100}
    name = mask_name(sample)
    assert name.startswith(f"123456_{letter * 20}") and name.endswith(".png")
    with atomic_file(tmp_path / f"median_05_dice_099.9_{name}") as unfinished:
        write_mask(unfinished, np.ones((2, 2), dtype=bool))
    assert len(list(tmp_path.iterdir())) == 1
