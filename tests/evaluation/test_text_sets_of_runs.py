"""Evaluations of bundles that average over the texts of a class."""

import json

import numpy as np
import pytest
from color_network import evaluate as evaluate_colors
from color_network import split_all_to_test, write_image
from PIL import Image

from monai_tunevlseg.errors import root_cause

pytestmark = pytest.mark.filterwarnings("ignore:the splits", "ignore:.*binary", "ignore:.*more than one split")
ROWS, COLUMNS = np.mgrid[:8, :8]
TOP, LEFT, NOTHING = ROWS < 4, COLUMNS < 2, np.zeros((8, 8), bool)


@pytest.fixture
def scenes(tmp_path):
    """Two pictures, red in the upper half and green at the left; the second one shows no green."""
    write_image(tmp_path / "set", "a", [TOP, LEFT, NOTHING], [TOP, LEFT & ~TOP, NOTHING])
    write_image(tmp_path / "set", "b", [TOP, LEFT, NOTHING], [TOP, NOTHING, NOTHING])
    split_all_to_test(tmp_path / "set")
    return tmp_path / "set"


def evaluate(folder, output_dir, **options):
    return evaluate_colors(folder, output_dir, **{"class_names": ["red", "green"]} | options)


def areas(rows):
    return {(row["image"], row["class_name"]): int(row["predicted_pixels_original"]) for row in rows}


def test_the_texts_of_a_file_are_averaged_and_recorded(scenes, tmp_path):
    sets = {"red": ["a green", "a pale  green"], "green": ["a red", "a pale red"]}
    (tmp_path / "sets.json").write_text(json.dumps(sets))
    options = {"text_sets": str(tmp_path / "sets.json"), "absent_texts": "classes"}
    workflow, metrics, rows = evaluate(scenes, tmp_path / "out", **options)
    # two of three texts of a class name the other color
    assert areas(rows) == {("images/a.png", "red"): 16, ("images/a.png", "green"): 32, ("images/b.png", "red"): 16}
    assert metrics["absent"]["by_text"]["green"]["false_positive_area"] == 50  # an absent class is averaged, too
    assert metrics["text_sets"] == {"red": ["a green", "a pale green"], "green": ["a red", "a pale red"]}
    assert sum(images for images, _ in workflow.network_def.calls) == 2  # each image once


def test_published_texts_are_those_of_each_pair(scenes, tmp_path):
    texts = {"a": {"p1": "red", "p2": ["a green", "deep green"]}, "b": {"p1": "a red", "p2": ""}}
    entries = [{"img_name": f"{name}.png", "mask_name": f"{name}.png", "prompts": texts[name]} for name in texts]
    (scenes / "splits.json").unlink()
    (scenes / "anns").mkdir()
    for split in ("train", "val", "test"):
        (scenes / "anns" / f"{split}.json").write_text(json.dumps(entries))
    for name in texts:
        Image.fromarray((TOP * 255).astype(np.uint8)).save(scenes / "masks" / f"{name}.png")
    options = {"layout": "annotations", "class_names": ["red"], "text_sets": "published"}
    _, metrics, rows = evaluate(scenes, tmp_path / "out", **options)
    assert areas(rows) == {("images/a.png", "red"): 16, ("images/b.png", "red"): 32}
    assert metrics["text_sets"] == "published"


def test_without_sets_none_are_recorded(scenes, tmp_path):
    _, metrics, rows = evaluate(scenes, tmp_path / "out")
    assert areas(rows) == {("images/a.png", "red"): 32, ("images/a.png", "green"): 16, ("images/b.png", "red"): 32}
    assert metrics["text_sets"] is None


def test_a_text_of_a_set_is_not_absent(scenes, tmp_path):
    (tmp_path / "sets.json").write_text(json.dumps({"red": ["crimson"]}))
    with pytest.raises(Exception) as raised:  # noqa: B017, PT011
        evaluate(scenes, tmp_path / "out", text_sets=str(tmp_path / "sets.json"), absent_texts=["Crimson"])
    assert "'Crimson'" in str(root_cause(raised.value))
