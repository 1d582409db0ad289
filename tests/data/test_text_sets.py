"""Sets of texts for each class or pair."""

import json
import re

import pytest

from monai_tunevlseg.data import DatasetSpec
from monai_tunevlseg.data.text_sets import read_text_sets, text_set_chooser

CLASSES = ["cat", "dog"]


def published(**texts):
    return {"image": "a.png", "class_name": "cat", "text": "cat", "texts": texts}


def write(folder, content):
    path = folder / "sets.json"
    path.write_text(json.dumps(content))
    return path


def test_none_has_no_chooser():
    assert text_set_chooser(DatasetSpec("data", CLASSES)) is None


def test_the_published_texts_without_the_empty_one():
    choose = text_set_chooser(DatasetSpec("data", CLASSES, text_sets="published"))
    found = choose(published(p0="", p1="cat", p3=["small cat", "gray cat", "cat"], p9=["in the middle", ""]))
    assert found == ["cat", "small cat", "gray cat", "in the middle"]


@pytest.mark.parametrize("pair", [published(), published(p0=""), {"image": "a.png", "class_name": "cat"}])
def test_pairs_without_published_texts_are_named(pair):
    choose = text_set_chooser(DatasetSpec("data", CLASSES, layout="annotations", text_sets="published"))
    with pytest.raises(ValueError, match=r"'annotations'.*a\.png"):
        choose(pair)


def test_a_file_gives_the_texts_of_each_class(tmp_path):
    path = write(tmp_path, {"cat": ["a  kitten", "feline", "a kitten"]})
    choose = text_set_chooser(DatasetSpec("data", CLASSES, text_sets=str(path)))
    assert [choose({"class_name": name}) for name in CLASSES] == [["a kitten", "feline"], []]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"cow": ["a cow"]}, "'cow'"),
        ({"cat": "kitten"}, "'kitten'.*'cat'"),
        ({"cat": []}, r"\[\].*'cat'"),
        ({"cat": ["kitten", " "]}, "'cat'"),
        ({"cat": ["kitten", 3]}, "'cat'"),
        ({"cat": ["Dog"]}, "'Dog'.*'cat'.*'dog'"),
        ({"cat": ["a pet"], "dog": ["a Pet"]}, "'a Pet'.*'dog'.*'cat'"),
        (["cat"], "list"),
    ],
)
def test_wrong_files_are_refused(content, message, tmp_path):
    path = write(tmp_path, content)
    with pytest.raises(ValueError, match=f"{re.escape(str(path))}.*{message}"):
        read_text_sets(path, CLASSES)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path / "sets.json"))):
        read_text_sets(tmp_path / "sets.json", CLASSES)


def test_a_text_for_all_images_leaves_nothing_to_draw():
    with pytest.raises(ValueError, match=r"'animal'.*'sets\.json'"):
        DatasetSpec("data", CLASSES, neutral_text="animal", text_sets="sets.json")
