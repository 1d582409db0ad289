"""The bundles' evaluate.yaml with a network whose predictions are known."""

import gc
import weakref

import nibabel as nib
import numpy as np
import pytest
import torch
from color_network import COLORS, evaluate, split_all_to_test, write_image
from monai.metrics import DiceMetric, MeanIoU, compute_dice, compute_iou
from PIL import Image

from monai_tunevlseg.evaluation import read_pair_scores

pytestmark = pytest.mark.filterwarnings("ignore:the splits", "ignore:.*binary")


def square(size):
    """Return an 8x8 mask with the first ``size`` pixels set."""
    return (np.arange(64) < size).reshape(8, 8)


# prediction, mask, Dice and IoU in percent, computed by hand
FIVE = [
    (square(8), square(8), 100, 100),
    (square(4), square(12), 50, 100 / 3),
    (square(4), square(0), 0, 0),
    (square(0), square(4), 0, 0),
    (square(0), square(0), 100, 100),
]


@pytest.fixture
def five(tmp_path):
    for number, (prediction, mask, *_) in enumerate(FIVE):
        write_image(tmp_path / "set", str(number), [prediction], [mask])
    split_all_to_test(tmp_path / "set")
    return tmp_path / "set"


def test_five_images_agree_with_hand_and_with_monai(five, tmp_path):
    workflow, metrics, rows = evaluate(five, tmp_path / "out", class_names=["red"], batch_size=2)
    assert (metrics["split"], metrics["pairs"], metrics["images"], metrics["clusters"]) == ("test", 5, 5, 5)
    assert metrics["pairs_with_foreground"] == metrics["pairs_with_foreground_original"] == 3
    expected = {"dice": 50, "dice_foreground": 50, "iou": (100 / 3 + 200) / 5, "iou_foreground": (100 / 3 + 100) / 3}
    for name, value in expected.items():
        assert metrics[name] == pytest.approx(value, abs=1e-3)
        assert metrics[name.replace("_foreground", "_original_foreground") if "_" in name else f"{name}_original"] == (
            pytest.approx(value, abs=1e-3)
        )
    assert [float(row["dice"]) for row in rows] == pytest.approx([dice for *_, dice, _ in FIVE])
    assert [float(row["iou"]) for row in rows] == pytest.approx([iou for *_, iou in FIVE], abs=1e-3)
    assert [int(row["label_pixels"]) for row in rows] == [8, 12, 0, 4, 0]
    assert [int(row["predicted_pixels_original"]) for row in rows] == [8, 4, 4, 0, 0]

    predictions, masks = (torch.tensor(np.stack(item)[:, None]).float() for item in list(zip(*FIVE, strict=True))[:2])
    for name, compute in (("dice", compute_dice), ("iou", compute_iou)):
        scores = compute(predictions, masks, ignore_empty=False)[:, 0]
        assert [float(row[name]) for row in rows] == pytest.approx((100 * scores).tolist(), abs=1e-3)
    for ignore_empty, suffix in ((False, ""), (True, "_foreground")):
        for name, metric in (("dice", DiceMetric), ("iou", MeanIoU)):
            metric = metric(ignore_empty=ignore_empty)
            metric(predictions, masks)
            assert metrics[name + suffix] == pytest.approx(100 * metric.aggregate().item(), abs=1e-3)
    assert metrics["dice"] == pytest.approx(100 * workflow.evaluator.state.metrics["dice"], abs=1e-3)
    assert metrics["dice_foreground"] == pytest.approx(
        100 * workflow.evaluator.state.metrics["dice_foreground"], abs=1e-3
    )


def resized_naively(image, size):
    """Resize (H, W) bilinearly, pixel center by pixel center."""
    result = np.zeros(size)
    for row in range(size[0]):
        for column in range(size[1]):
            y = min(max((row + 0.5) * image.shape[0] / size[0] - 0.5, 0), image.shape[0] - 1)
            x = min(max((column + 0.5) * image.shape[1] / size[1] - 0.5, 0), image.shape[1] - 1)
            top, left = int(y), int(x)
            bottom, right = min(top + 1, image.shape[0] - 1), min(left + 1, image.shape[1] - 1)
            upper = image[top, left] * (1 - (x - left)) + image[top, right] * (x - left)
            lower = image[bottom, left] * (1 - (x - left)) + image[bottom, right] * (x - left)
            result[row, column] = upper * (1 - (y - top)) + lower * (y - top)
    return result


def overlap_naively(prediction, mask):
    """Return Dice and IoU in percent by counting pixels."""
    both = one = 0
    for predicted, true in zip(prediction.flatten().tolist(), mask.flatten().tolist(), strict=True):
        both += predicted and true
        one += predicted or true
    return (100.0, 100.0) if one == 0 else (200 * both / (one + both), 100 * both / one)


def test_both_resolutions_agree_with_a_naive_computation(tmp_path):
    rng = np.random.default_rng(0)
    sizes = [(12, 20), (9, 7), (31, 16)]
    truths = []
    for number, size in enumerate(sizes):
        blobs = [resized_naively(rng.random((4, 4)), size) for _ in range(3)]
        masks = [(blobs[0] > 0.55), (blobs[0] <= 0.55) & (blobs[1] > 0.5)]
        write_image(tmp_path / "set", str(number), [blobs[2] > 0.4, blobs[1] > 0.45], masks)
        truths.append(masks)
    split_all_to_test(tmp_path / "set")
    workflow, _, rows = evaluate(tmp_path / "set", tmp_path / "out", 16, class_names=["red", "green"], batch_size=4)
    dataset = workflow.evaluator.data_loader.dataset
    assert len(rows) == 6
    for row in rows:
        number, channel = int(row["image"].split("/")[1][0]), COLORS.index(row["class_name"])
        logits = dataset[number]["image"][channel].numpy() - 0.5
        mask = truths[number][channel]
        rows_at, columns_at = ((np.arange(16) + 0.5) * length // 16 for length in mask.shape)
        small_mask = mask[rows_at.astype(int)][:, columns_at.astype(int)]
        large = resized_naively(logits, sizes[number]) > 0
        for suffix, prediction, truth in (("", logits > 0, small_mask), ("_original", large, mask)):
            assert int(row[f"label_pixels{suffix}"]) == truth.sum()
            assert int(row[f"predicted_pixels{suffix}"]) == prediction.sum()
            dice, iou = overlap_naively(prediction, truth)
            assert float(row[f"dice{suffix}"]) == pytest.approx(dice, abs=1e-3)
            assert float(row[f"iou{suffix}"]) == pytest.approx(iou, abs=1e-3)
    assert any(row["dice"] != row["dice_original"] for row in rows)


def test_rows_are_in_the_order_of_the_datalist(tmp_path):
    texts = {"a": 1, "b": 3, "c": 2, "d": 3, "e": 1}
    for stem, count in texts.items():
        size = (8 + 2 * count, 10)
        columns = [np.broadcast_to(np.arange(10) // 2 == value, size) for value in range(count)]
        write_image(tmp_path / "set", stem, columns, columns)
    split_all_to_test(tmp_path / "set")
    expected = [(f"images/{stem}.png", COLORS[value]) for stem, count in texts.items() for value in range(count)]
    reports = []
    for batch_size in (1, 2, 6, 100):
        workflow, metrics, rows = evaluate(tmp_path / "set", tmp_path / str(batch_size), batch_size=batch_size)
        assert [(row["image"], row["class_name"]) for row in rows] == expected
        calls = workflow.network_def.calls
        assert sum(images for images, _ in calls) == 5  # every image goes through the network once
        assert all(len(words) * images <= max(batch_size, 3) for images, text in calls for words in text[:1])
        reports.append((metrics, rows))
    assert all(report == reports[0] for report in reports)
    assert {name: part["pairs"] for name, part in reports[0][0]["classes"].items()} == {"blue": 2, "green": 3, "red": 5}


def test_ignored_pixels_are_in_no_number(tmp_path):
    prediction, label = np.zeros((8, 8), bool), np.zeros((8, 8), np.uint8)
    prediction[:4] = True  # 32 pixels, 16 of them ignored
    label[:, :4] = 1  # 32 pixels in the left half
    label[:, 4:] = 255  # the right half is ignored
    write_image(tmp_path / "set", "a", [prediction], [])
    Image.fromarray(label).save(tmp_path / "set" / "masks" / "a.png")
    split_all_to_test(tmp_path / "set")
    sample = {"label_value": 1, "ignore_value": 255, "class_name": "red", "text": "red"}
    paths = {"image": str(tmp_path / "set" / "images" / "a.png"), "label": str(tmp_path / "set" / "masks" / "a.png")}
    everything = {"datalists": {"test": [paths | sample]}, "hd95": True, "surface_dice": True}
    _, metrics, (row,) = evaluate(tmp_path / "set", tmp_path / "out", **everything)
    assert (int(row["label_pixels"]), int(row["predicted_pixels"])) == (32, 16)
    assert metrics["dice"] == metrics["dice_original"] == pytest.approx(100 * 2 * 16 / (32 + 16), abs=1e-3)
    assert metrics["iou"] == pytest.approx(50)
    assert metrics["hd95"] == pytest.approx(4)  # from the eighth row to the fourth
    counted = evaluate(
        tmp_path / "set", tmp_path / "all", datalists={"test": [paths | sample | {"ignore_value": None}]}
    )
    assert counted[1]["dice"] == pytest.approx(100 * 2 * 16 / (32 + 32), abs=1e-3)


def test_distances_on_request_with_their_number_of_pairs(five, tmp_path):
    _, plain, plain_rows = evaluate(five, tmp_path / "plain", class_names=["red"])
    assert not any("hd95" in name or "surface" in name for name in plain if name != "surface_tolerance")
    assert {row["hd95"] for row in plain_rows} == {row["surface_dice"] for row in plain_rows} == {""}
    _, metrics, rows = evaluate(five, tmp_path / "out", class_names=["red"], hd95="true", surface_dice=True)
    # the second: a row of 4 of the 12 pixels in two rows; each has its own column's pixel at distance 0 or 1,
    # but for columns 4 to 7 of the first row, at distances 1 to 4
    distances = [0] * 4 + [1, 2, 3, 4] + [1] * 4
    assert [row["hd95"] == "" for row in rows] == [False, False, True, True, True]
    assert float(rows[0]["hd95"]) == 0
    assert float(rows[1]["hd95"]) == pytest.approx(np.quantile(distances, 0.95), abs=1e-3)
    assert metrics["pairs_with_hd95"] == 2
    assert metrics["hd95"] == pytest.approx(np.quantile(distances, 0.95) / 2, abs=1e-3)
    assert "hd95_foreground" not in metrics
    assert [float(row["surface_dice"]) for row in rows] == pytest.approx([100, 100 * 14 / 16, 0, 0, 100], abs=1e-3)
    assert metrics["surface_dice_foreground"] == pytest.approx((100 + 87.5) / 3, abs=1e-3)
    _, strict, _ = evaluate(five, tmp_path / "0", class_names=["red"], surface_dice=True, surface_tolerance=0)
    assert strict["surface_dice"] == pytest.approx((100 + 100 * 8 / 16 + 100) / 5, abs=1e-3)
    assert (strict["surface_tolerance"], plain["surface_tolerance"]) == (0, None)


def test_a_mask_that_vanishes_when_resized_counts_at_the_images_size(tmp_path):
    speck = np.zeros((64, 64), bool)
    speck[0, 0] = True
    write_image(tmp_path / "set", "a", [np.zeros((64, 64))], [speck])
    split_all_to_test(tmp_path / "set")
    _, metrics, _ = evaluate(tmp_path / "set", tmp_path / "out", class_names=["red"])
    assert (metrics["pairs_with_foreground"], metrics["pairs_with_foreground_original"]) == (0, 1)
    assert (metrics["dice"], metrics["dice_foreground"]) == (100, None)
    assert (metrics["dice_original"], metrics["dice_original_foreground"]) == (0, 0)


def test_predicted_masks_are_kept_at_the_images_size_or_not_at_all(five, tmp_path):
    _, _, rows = evaluate(five, tmp_path / "out", class_names=["red"])
    for row, (prediction, *_) in zip(rows, FIVE, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / row["mask"])), prediction)
    _, _, rows = evaluate(five, tmp_path / "none", class_names=["red"], save_masks="false")
    assert {row["mask"] for row in rows} == {""}
    assert sorted(path.name for path in (tmp_path / "none").iterdir()) == ["metrics.json", "overlays", "pairs.csv"]
    assert len(list((tmp_path / "none" / "overlays").iterdir())) == 4  # without the pair of an empty mask


def test_a_second_run_replaces_the_first_and_leaves_other_files(five, tmp_path):
    evaluate(five, tmp_path / "out", class_names=["red"])
    kept = [tmp_path / "out" / "overlays" / "0.png", tmp_path / "out" / "predicted_masks" / "mine.png"]
    for path in kept:
        path.touch()
    workflow, _, rows = evaluate(five, tmp_path / "out", class_names=["red"], split="val", num_overlays=1)
    assert len(rows) == 1
    assert {path.name for path in (tmp_path / "out" / "predicted_masks").iterdir()} == {"mine.png", "00000_0_red.png"}
    assert {path.name for path in (tmp_path / "out" / "overlays").iterdir()} == {
        "0.png",
        "worst_01_dice_100.0_0_red.png",
    }
    workflow.evaluator.run()
    assert len(read_pair_scores(tmp_path / "out")) == 1


def test_the_report_identifies_its_run(five, tmp_path):
    _, metrics, _ = evaluate(five, tmp_path / "out", class_names=["red"])
    assert metrics["bundle"] == "clipseg_vpt"
    assert metrics["network"] == {"method": None, "trained_parameters": 0}
    assert (metrics["checkpoint"], metrics["layout"], metrics["image_size"]) == (None, "folder", 8)
    assert metrics["dataset_dir"] == str(five)
    assert metrics["bootstrap"] == {"resamples": 200, "level": 0.95, "seed": 0, "method": "BCa", "cluster": "image"}


def test_groups_of_a_dataset_are_the_clusters(five, tmp_path):
    _, metrics, rows = evaluate(five, tmp_path / "out", class_names=["red"], group_pattern="[0-2]|[34]")
    assert [row["group"] for row in rows] == ["0", "1", "2", "3", "4"]
    assert (metrics["clusters"], metrics["bootstrap"]["cluster"]) == (5, "group")


def test_the_same_run_gives_the_same_files(five, tmp_path):
    for name in "ab":
        evaluate(five, tmp_path / name, class_names=["red"])
    for file in ("metrics.json", "pairs.csv"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_neutral_text_is_given_to_the_network(tmp_path):
    halves = [np.arange(8) < 4, np.arange(8) >= 4]
    masks = [np.broadcast_to(half, (8, 8)) for half in halves]
    write_image(tmp_path / "set", "a", masks, masks)
    split_all_to_test(tmp_path / "set")
    _, metrics, rows = evaluate(tmp_path / "set", tmp_path / "out", class_names=["red", "green"], neutral_text="red")
    assert [(row["class_name"], row["text"], float(row["dice"])) for row in rows] == [
        ("red", "red", 100),
        ("green", "red", 0),
    ]
    assert {name: part["dice"] for name, part in metrics["classes"].items()} == {"red": 100, "green": 0}


def test_slices_are_pairs_and_volumes_the_clusters(tmp_path):
    for name, value in (("a", 1), ("b", 1)):
        mask = np.zeros((8, 12, 4), np.uint8)
        mask[2:6, 3:9, 1:] = value
        for sub in ("images", "masks"):
            (tmp_path / "set" / sub).mkdir(parents=True, exist_ok=True)
            pixels = mask.astype(np.float32) if sub == "images" else mask
            nib.save(nib.Nifti1Image(pixels, np.eye(4)), tmp_path / "set" / sub / f"{name}.nii.gz")
    (tmp_path / "set" / "splits.json").write_text('{"train": ["a"], "val": ["a"], "test": ["a", "b"]}')
    _, metrics, rows = evaluate(tmp_path / "set", tmp_path / "out", class_names=["red"], batch_size=4)
    expected = [(f"images/{name}.nii.gz", str(number)) for name in "ab" for number in (0, 1, 2)]
    assert [(row["image"], row["slice"]) for row in rows] == expected
    assert (metrics["pairs"], metrics["images"], metrics["clusters"]) == (6, 2, 2)
    assert {row["label_pixels_original"] for row in rows} == {"24"}
    assert len({row["mask"] for row in rows}) == 6
    assert np.asarray(Image.open(tmp_path / "out" / rows[0]["mask"])).shape == (12, 8)
    assert metrics["slices_without_foreground"]["pairs"] == 2
    assert [case["image"] for case in metrics["volumes"]["per_volume"]] == ["images/a.nii.gz", "images/b.nii.gz"]


def test_no_batch_stays_in_memory(five, tmp_path):
    alive = []

    def watch(evaluator):
        gc.collect()
        assert not [reference for reference in alive if reference() is not None]
        tensors = [evaluator.state.output[f"{kind}{at}"] for kind in ("pred", "label") for at in ("", "_original")]
        alive.extend(weakref.ref(tensor) for masks in tensors for tensor in masks)

    evaluate(five, tmp_path / "out", class_names=["red"], batch_size=1, watch=watch)
    assert len(alive) == 5 * 4
