"""Evaluations of bundles with absent texts."""

import csv
import json

import numpy as np
import pytest
from color_network import BUNDLES, evaluate, split_all_to_test, write_image
from monai.bundle import ConfigWorkflow
from PIL import Image

from monai_tunevlseg.data.demo_datasets import write_demo_dataset
from monai_tunevlseg.errors import root_cause

pytestmark = pytest.mark.filterwarnings("ignore:the splits", "ignore:.*binary")
ROWS, COLUMNS = np.mgrid[:8, :8]


def read_absent(folder):
    with (folder / "absent_pairs.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def scenes(tmp_path):
    """Three pictures, of which one is larger: red in the upper half, green at the left, and all three colors."""
    top, left, nothing = ROWS < 4, COLUMNS < 2, np.zeros((8, 8), bool)
    write_image(tmp_path / "set", "a", [top, left, nothing], [top, nothing, nothing])
    write_image(tmp_path / "set", "b", [top, left, nothing], [nothing, left, nothing])
    wide = [np.repeat(value == COLUMNS // 3, 2, axis=1) for value in range(3)]
    write_image(tmp_path / "set", "c", wide, wide)
    split_all_to_test(tmp_path / "set")
    return tmp_path / "set"


def test_the_absent_classes_of_each_image(scenes, tmp_path):
    workflow, metrics, rows = evaluate(scenes, tmp_path / "out", absent_texts="classes")
    assert [(row["image"], row["class_name"]) for row in rows] == [
        ("images/a.png", "red"),
        ("images/b.png", "green"),
        *(("images/c.png", color) for color in ("red", "green", "blue")),
    ]
    found = [
        (row["image"], row["text"], row["predicted_pixels_original"], row["pixels_original"])
        for row in read_absent(tmp_path / "out")
    ]
    assert found == [
        ("images/a.png", "green", "16", "64"),
        ("images/a.png", "blue", "0", "64"),
        ("images/b.png", "red", "32", "64"),
        ("images/b.png", "blue", "0", "64"),
    ]
    absent = metrics["absent"]
    assert (absent["pairs"], absent["texts"], absent["false_positive_rate"]) == (4, 3, 50)
    assert absent["false_positive_area"] == pytest.approx((25 + 0 + 50 + 0) / 4)
    # found: 5 of 5 present, 2 of 4 absent
    assert absent["presence"]["image_level_mcc"] == pytest.approx((5 * 2 - 2 * 0) / (7 * 5 * 4 * 2) ** 0.5)
    assert absent["presence"]["positive_micro_f1"] == 100
    assert absent["by_class"]["blue"]["cgf1"] == 100
    assert sum(images for images, _ in workflow.network_def.calls) == 3  # each image once, with all its texts


def test_the_confusion_of_classes(scenes, tmp_path):
    _, metrics, _ = evaluate(scenes, tmp_path / "out", absent_texts="classes")
    red, green = metrics["confusion"]["red"], metrics["confusion"]["green"]
    assert red["red"] == green["green"] == {"iou": 100, "images": 2}
    # in a and b the upper half and the left quarter share 8 of 40 pixels; in c they share none
    assert red["green"] == green["red"] == {"iou": pytest.approx(20 / 2), "images": 2}
    assert metrics["confusion"]["blue"]["red"] == {"iou": 0, "images": 2}


def test_all_other_results_are_those_without_absent_texts(scenes, tmp_path):
    _, before, _ = evaluate(scenes, tmp_path / "before")
    assert {"absent", "confusion"}.isdisjoint(before)
    assert not (tmp_path / "before" / "absent_pairs.csv").exists()
    for name, source in (("classes", "classes"), ("own", ["dark red", "nothing"])):
        _, metrics, _ = evaluate(scenes, tmp_path / name, absent_texts=source)
        assert {key: metrics[key] for key in metrics if key not in ("absent", "confusion")} == before
        for path in (tmp_path / "before").rglob("*.*"):
            if path.name != "metrics.json":
                assert (tmp_path / name / path.relative_to(tmp_path / "before")).read_bytes() == path.read_bytes()


def test_a_run_without_absent_texts_removes_the_table_of_an_earlier_one(scenes, tmp_path):
    evaluate(scenes, tmp_path / "out", absent_texts="classes")
    evaluate(scenes, tmp_path / "out")
    assert not (tmp_path / "out" / "absent_pairs.csv").exists()


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_own_texts_in_batches_of_any_size(scenes, tmp_path, batch_size):
    _, metrics, _ = evaluate(scenes, tmp_path / "out", absent_texts=["dark red", "nothing"], batch_size=batch_size)
    by_text = metrics["absent"]["by_text"]
    assert [row["text"] for row in read_absent(tmp_path / "out")] == ["dark red", "nothing"] * 3
    assert by_text["nothing"] == {"pairs": 3, "false_positive_rate": 0, "false_positive_area": 0}
    assert by_text["dark red"]["false_positive_rate"] == 100
    assert by_text["dark red"]["false_positive_area"] == pytest.approx((50 + 50 + 37.5) / 3)
    assert metrics["confusion"].keys() == {"red", "green", "blue"}
    assert metrics["confusion"]["red"]["green"]["images"] == 1  # only c was asked for both


def test_ignored_pixels_are_part_of_no_area(tmp_path):
    prediction, label = ROWS < 4, np.zeros((8, 8), np.uint8)
    label[:, :2], label[:, 4:] = 1, 255
    write_image(tmp_path / "set", "a", [prediction, prediction], [])
    Image.fromarray(label).save(tmp_path / "set" / "masks" / "a.png")
    split_all_to_test(tmp_path / "set")
    paths = {"image": str(tmp_path / "set" / "images" / "a.png"), "label": str(tmp_path / "set" / "masks" / "a.png")}
    facts = {"label_value": 1, "ignore_value": 255, "class_name": "red", "text": "red"}
    _, metrics, _ = evaluate(
        tmp_path / "set", tmp_path / "out", datalists={"test": [paths | facts]}, absent_texts=["dark green"]
    )
    (row,) = read_absent(tmp_path / "out")
    assert (row["predicted_pixels_original"], row["pixels_original"]) == ("16", "32")
    assert metrics["absent"]["false_positive_area"] == 50


def test_slices_without_the_class_are_absent_texts_that_were_asked(tmp_path):
    import nibabel as nib

    for sub, value in (("images", 255), ("masks", 1)):
        volume = np.zeros((8, 12, 4), np.uint8)
        volume[2:6, 3:9, 1:] = value
        (tmp_path / "set" / sub).mkdir(parents=True)
        nib.save(nib.Nifti1Image(volume, np.eye(4)), tmp_path / "set" / sub / "a.nii.gz")
    (tmp_path / "set" / "splits.json").write_text('{"train": ["a"], "val": ["a"], "test": ["a"]}')
    window = {"intensity_window": [0, 255], "class_names": ["red", "green"]}
    _, metrics, _ = evaluate(tmp_path / "set", tmp_path / "out", absent_texts="classes", **window)
    presence = metrics["absent"]["presence"]
    assert metrics["absent"]["pairs"] == 0
    assert (presence["present"], presence["absent"]) == (3, 5)
    # gray is red and green at once: green is found in three slices that have none
    assert presence["image_level_mcc"] == pytest.approx((3 * 2 - 3 * 0) / (6 * 3 * 5 * 2) ** 0.5)


@pytest.mark.parametrize("wrong", [["Red"], "classes", "nowhere.txt", []])
def test_texts_that_are_not_absent_stop_the_run_before_it_starts(tmp_path, wrong):
    write_image(tmp_path / "set", "a", [ROWS < 4], [ROWS < 4])
    split_all_to_test(tmp_path / "set")
    with pytest.raises(Exception) as raised:  # noqa: B017, PT011
        evaluate(tmp_path / "set", tmp_path / "out", class_names=["red"], absent_texts=wrong)
    error = root_cause(raised.value)
    assert isinstance(error, ValueError | FileNotFoundError)
    assert "absent_texts" in str(error)
    assert not (tmp_path / "out").exists()


def test_the_pool_on_a_demo_set_with_the_embedded_model(tmp_path):
    data = write_demo_dataset("ultrasound", tmp_path / "data", num_images=16)
    files = [BUNDLES / "clipseg_zero_shot" / "configs" / "evaluate.yaml"]
    files += [BUNDLES.parent / "configs" / "ultrasound" / "clipseg_zero_shot.yaml"]
    reports, images = {}, []
    for source in (None, "pool"):
        own = {"dataset_dir": str(data), "output_dir": str(tmp_path / str(source)), "absent_texts": source}
        quick = {"device": "cpu", "precision": "fp32", "num_workers": 0, "bootstrap_resamples": 50}
        workflow = ConfigWorkflow(list(map(str, files)), workflow_type="infer", logging_file=False, **own, **quick)
        workflow.initialize()
        encode = workflow.network_def.encode_image
        workflow.network_def.encode_image = lambda image, *more, f=encode: images.append(len(image)) or f(image, *more)
        workflow.run()
        reports[source] = json.loads((tmp_path / str(source) / "metrics.json").read_text())
    assert sum(images) == 4  # two test images, once in each run
    absent = reports["pool"].pop("absent")
    assert reports["pool"] == reports[None]
    rows = read_absent(tmp_path / "pool")
    assert absent["pairs"] == len(rows) == 2 * absent["texts"] > 40
    assert "melanoma" not in absent["by_text"]  # "lesion" is a word of its kind
    wrong = [int(row["predicted_pixels_original"]) > 0 for row in rows]
    areas = [int(row["predicted_pixels_original"]) / int(row["pixels_original"]) for row in rows]
    assert absent["false_positive_rate"] == pytest.approx(100 * np.mean(wrong))
    assert absent["false_positive_area"] == pytest.approx(100 * np.mean(areas))
    assert absent["presence"]["absent"] == len(rows)
