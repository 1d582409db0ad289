"""Evaluations of bundles that compare texts on the same images."""

import csv
import json

import nibabel as nib
import numpy as np
import pytest
import torch
from color_network import BUNDLES, evaluate, split_all_to_test, write_image
from monai.bundle import ConfigWorkflow
from PIL import Image

from monai_tunevlseg.calibration import Calibration, ClassCalibration
from monai_tunevlseg.data.demo_datasets import write_demo_dataset
from monai_tunevlseg.errors import root_cause
from monai_tunevlseg.evaluation import LogitsToPairMasks

pytestmark = pytest.mark.filterwarnings("ignore:the splits", "ignore:.*binary", "ignore:.*more than one split")
ROWS, COLUMNS = np.mgrid[:8, :8]
TOP, LEFT = ROWS < 4, COLUMNS < 2
SIDED = {"_target_": "color_network.SidedNetwork"}


def read_compared(folder):
    with (folder / "compared_texts.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def write_sets(folder, content):
    (folder / "sets.json").write_text(json.dumps(content))
    return str(folder / "sets.json")


@pytest.fixture
def two(tmp_path):
    """Two pictures of the class red, at the top of one and at the left of the other; green is where red is not."""
    write_image(tmp_path / "set", "a", [TOP, LEFT], [TOP])
    write_image(tmp_path / "set", "b", [LEFT, TOP], [LEFT])
    split_all_to_test(tmp_path / "set")
    return tmp_path / "set"


def test_dice_of_each_text_and_of_the_blank_image(two, tmp_path):
    sets = write_sets(tmp_path, {"red": ["deep red", "grass green", "left of it"]})
    workflow, metrics, rows = evaluate(
        two, tmp_path / "out", class_names=["red"], compared_texts=sets, network_def=SIDED, batch_size=99
    )
    texts = metrics["texts"]
    of_set = texts["text_set"]
    # overlaps: top and left have 8 pixels of 32 and 16; the left half has 16 of top's 32, and all of left's 16
    dice = {"deep red": 100, "grass green": 100 * 16 / 48, "left of it": (100 * 32 / 64 + 100 * 32 / 48) / 2}
    assert {name: scores["dice"] for name, scores in of_set["by_text"].items()} == pytest.approx(dice, abs=1e-3)
    assert of_set["dice"] == pytest.approx(np.mean(list(dice.values())), abs=1e-3)
    assert of_set["standard_deviation"] == pytest.approx(np.std(list(dice.values()), ddof=1), abs=1e-3)
    assert of_set["range"] == pytest.approx(100 - 100 / 3, abs=1e-3)
    assert of_set["worst"]["name"] == "grass green"
    assert texts["class_name"]["dice"] == metrics["dice"] == 100
    left = of_set["by_text"]["left of it"]
    assert (left["area"], left["blank_area"]) == (50, 50)
    assert left["blank_dice"] == left["dice"]  # the image is not looked at
    assert of_set["by_text"]["deep red"]["blank_area"] == of_set["by_text"]["deep red"]["blank_dice"] == 0
    images = [count for count, _ in workflow.network_def.calls]
    assert images == [2, 1]  # both images once, and the blank one once
    assert len(rows) == 2


def test_controls_of_a_network_that_reads_the_last_word(two, tmp_path):
    _, metrics, _ = evaluate(two, tmp_path / "out", class_names=["red"], compared_texts="class_name")
    texts = metrics["texts"]
    assert texts["text_set"]["texts"] == 0
    assert (texts["contentless"]["found"], texts["contentless"]["dice"]) == (0, 0)
    by_text = texts["contradictory"]["by_text"]
    assert by_text["background"]["found"] == 0
    assert by_text["no red"]["found"] == by_text["no red"]["iou_foreground"] == 100
    assert by_text["no red"]["area"] == pytest.approx((50 + 25) / 2)
    rows = read_compared(tmp_path / "out")
    assert [row["image"] for row in rows] == sorted(row["image"] for row in rows)
    assert {row["kind"] for row in rows} == {"class_name", "contentless", "contradictory"}
    area = {(row["image"], row["text"]): row["predicted_pixels"] for row in rows}
    assert area["images/b.png", "no red"] == "16"
    assert {row["pixels"] for row in rows} == {"64"}


def test_other_results_stay_the_same(tmp_path):
    nothing = np.zeros((8, 8), bool)
    write_image(tmp_path / "set", "a", [TOP, LEFT, nothing], [TOP, nothing, nothing])
    write_image(tmp_path / "set", "b", [TOP, LEFT, nothing], [nothing, LEFT, nothing])
    wide = [np.repeat(value == COLUMNS // 3, 2, axis=1) for value in range(3)]
    write_image(tmp_path / "set", "c", wide, wide)
    split_all_to_test(tmp_path / "set")
    options = {"absent_texts": "classes", "batch_size": 40}
    reports = {}
    for name, compared in (("plain", None), ("compared", write_sets(tmp_path, {"red": ["dark red", "pale blue"]}))):
        _, metrics, rows = evaluate(tmp_path / "set", tmp_path / "out", compared_texts=compared, **options)
        reports[name] = metrics, rows
        assert (tmp_path / "out" / "compared_texts.csv").exists() == (name == "compared")
    texts = reports["compared"][0].pop("texts")
    assert reports["compared"] == reports["plain"]
    for name in ("red", "green", "blue"):
        assert texts["classes"][name]["class_name"]["dice"] == reports["plain"][0]["classes"][name]["dice"]
    assert texts["class_name"]["pairs"] == 5
    assert texts["text_set"]["pairs"] == 4  # of red alone, in two images
    assert texts["classes"]["green"]["text_set"]["texts"] == 0
    assert texts["classes"]["green"]["contradictory"]["by_text"].keys() >= {"red", "blue", "no green"}
    evaluate(tmp_path / "set", tmp_path / "out", **options)
    assert not (tmp_path / "out" / "compared_texts.csv").exists()


def write_published(folder):
    """Three pictures in the layout `annotations`, with texts of two sources."""
    (folder / "masks").mkdir(parents=True)
    (folder / "anns").mkdir()
    listed = []
    for name, red, green in (("a", TOP, LEFT), ("b", LEFT, TOP), ("c", TOP & LEFT, ~TOP)):
        write_image(folder, name, [red, green], [])
        Image.fromarray(red.astype(np.uint8) * 255).save(folder / "masks" / f"{name}.png")
        texts = {"p0": "", "p1": "red", "p2": [f"{shade} {color}" for shade in "xyz" for color in ("red", "green")]}
        listed.append({"img_name": f"{name}.png", "mask_name": f"{name}.png", "prompts": texts})
    for split in ("train", "val", "test"):
        (folder / "anns" / f"{split}.json").write_text(json.dumps(listed))
    return folder


def test_a_published_source_has_the_dice_of_an_evaluation_with_its_texts(tmp_path):
    data = write_published(tmp_path / "set")
    options = {"class_names": ["red"], "layout": "annotations", "trained_splits": None}
    _, metrics, _ = evaluate(data, tmp_path / "out", compared_texts="published", **options)
    by_text = metrics["texts"]["text_set"]["by_text"]
    assert list(by_text) == ["p1", "p2"]
    for source in by_text:
        _, alone, rows = evaluate(data, tmp_path / source, text_source=source, **options)
        assert by_text[source]["dice"] == pytest.approx(alone["dice"])
    assert 0 < by_text["p2"]["dice"] < 100  # some texts are green
    asked = {row["text"] for row in read_compared(tmp_path / "out") if row["name"] == "p2"}
    assert asked == {row["text"] for row in rows}


def test_ignored_pixels_are_part_of_no_area(tmp_path):
    label = np.zeros((8, 8), np.uint8)
    label[:, :2], label[:, 4:] = 1, 255
    write_image(tmp_path / "set", "a", [TOP], [])
    Image.fromarray(label).save(tmp_path / "set" / "masks" / "a.png")
    split_all_to_test(tmp_path / "set")
    paths = {"image": str(tmp_path / "set" / "images" / "a.png"), "label": str(tmp_path / "set" / "masks" / "a.png")}
    texts = [{"kind": "text_set", "name": text, "text": text} for text in ("any red", "left")]
    facts = {"label_value": 1, "ignore_value": 255, "class_name": "red", "text": "red", "compared_texts": texts}
    evaluate(tmp_path / "set", tmp_path / "out", datalists={"test": [paths | facts]}, network_def=SIDED)
    rows = {row["text"]: row for row in read_compared(tmp_path / "out")}
    sizes = ("label_pixels", "predicted_pixels", "pixels", "blank_pixels")
    assert [rows["any red"][size] for size in sizes] == ["16", "16", "32", "0"]
    assert [rows["left"][size] for size in sizes] == ["16", "32", "32", "32"]


def test_slices_without_the_class_are_left_out(tmp_path):
    for sub, value in (("images", 255), ("masks", 1)):
        volume = np.zeros((8, 12, 4), np.uint8)
        volume[2:6, 3:9, 1:] = value
        (tmp_path / "set" / sub).mkdir(parents=True)
        nib.save(nib.Nifti1Image(volume, np.eye(4)), tmp_path / "set" / sub / "a.nii.gz")
    (tmp_path / "set" / "splits.json").write_text('{"train": ["a"], "val": ["a"], "test": ["a"]}')
    options = {"intensity_window": [0, 255], "class_names": ["red"], "compared_texts": "class_name"}
    _, metrics, _ = evaluate(tmp_path / "set", tmp_path / "out", **options)
    assert metrics["slices_without_foreground"]["pairs"] == 1
    assert sorted({row["slice"] for row in read_compared(tmp_path / "out")}) == ["0", "1", "2"]
    assert metrics["texts"]["class_name"]["dice"] == metrics["dice"]


def test_masks_of_all_texts_have_their_own_thresholds():
    """A threshold of the class red alone; the further text is not calibrated, as in inference."""
    cut = ClassCalibration(1.0, torch.tensor(0.6).sigmoid().item(), 1, 0, 0, 0, 0)
    batch = {
        "pred": torch.tensor([0.5, 0.7, 0.5]).view(1, 3, 1, 1),
        "label": torch.ones(1, 1, 1, 1),
        "full_label": [np.ones((1, 1, 1))],
        "pairs": [[{"class_name": "red", "text": "red"}]],
        "absent_texts": [["car"]],
        "further_texts": [["deep red"]],
    }
    masks = LogitsToPairMasks(Calibration({"red": cut}))(batch)
    assert masks["foreground"].flatten().tolist() == [False, True, True]
    assert [len(masks[name]) for name in ("pred", "absent", "absent_original")] == [1, 1, 1]
    assert int(masks["absent"][0].sum()) == 1


@pytest.mark.parametrize(
    ("wrong", "named"), [({}, "class_name"), ({"cow": ["a cow"]}, "'cow'"), ({"red": []}, "'red'"), (None, "nowhere")]
)
def test_wrong_sets_stop_the_run_before_it_starts(two, tmp_path, wrong, named):
    path = "nowhere.json" if wrong is None else write_sets(tmp_path, wrong)
    with pytest.raises(Exception, match=".") as raised:  # noqa: PT011
        evaluate(two, tmp_path / "out", class_names=["red"], compared_texts=path)
    error = root_cause(raised.value)
    assert isinstance(error, ValueError | FileNotFoundError)
    assert "compared_texts" in str(error) and named in str(error)
    assert not (tmp_path / "out").exists()


def test_a_demo_set_with_the_embedded_model(tmp_path):
    data = write_demo_dataset("endoscopy", tmp_path / "data", num_images=16)
    files = [BUNDLES / "clipseg_zero_shot" / "configs" / "evaluate.yaml"]
    files += [BUNDLES.parent / "configs" / "endoscopy" / "clipseg_zero_shot.yaml"]
    sets = write_sets(tmp_path, {"polyp": ["a red circle", "a green square", "polyps"]})
    options = {"dataset_dir": str(data), "output_dir": str(tmp_path / "out"), "compared_texts": sets}
    quick = {"device": "cpu", "precision": "fp32", "num_workers": 0, "bootstrap_resamples": 50}
    workflow = ConfigWorkflow(list(map(str, files)), workflow_type="infer", logging_file=False, **options, **quick)
    workflow.initialize()
    images, encode = [], workflow.network_def.encode_image
    workflow.network_def.encode_image = lambda image, *more: images.append(len(image)) or encode(image, *more)
    workflow.run()
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert sum(images) == metrics["images"] + 1  # each image once, and the blank one
    texts = metrics["texts"]
    assert texts["class_name"]["dice"] == pytest.approx(metrics["dice"], abs=1e-3)
    rows = read_compared(tmp_path / "out")
    dice = {}
    for row in rows:
        if row["kind"] == "text_set":
            dice.setdefault(row["text"], []).append(float(row["dice"]))
    means = {text: np.mean(values) for text, values in dice.items()}
    assert len(means) == 3
    assert texts["text_set"]["worst"] == {"name": min(means, key=means.get), "dice": pytest.approx(min(means.values()))}
    assert (
        texts["text_set"]["range"] == pytest.approx(np.ptp(list(means.values()))) and np.ptp(list(means.values())) > 0
    )
