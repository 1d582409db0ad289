"""The texts that an evaluation compares on the same images, and their controls."""

import json
import re

import pytest

from monai_tunevlseg.data import DatasetSpec, group_by_image, with_absent_texts
from monai_tunevlseg.data.compared_texts import CONTROLS_FILE, compared_text_chooser
from monai_tunevlseg.data.datalists import choose_text

CLASSES = ["cat", "dog"]
CONTROLS = json.loads(CONTROLS_FILE.read_text())


def spec(compared_texts, class_names=CLASSES, **more):
    return DatasetSpec("data", class_names, compared_texts=compared_texts, **more)


def sample(class_name="cat", image="a.png", **texts):
    return {"image": image, "class_name": class_name, "text": class_name} | ({"texts": texts} if texts else {})


def of_kind(found, *kinds):
    return {each["name"]: each["text"] for each in found if each["kind"] in kinds}


@pytest.fixture
def write(tmp_path):
    def write_sets(content):
        (tmp_path / "sets.json").write_text(json.dumps(content))
        return str(tmp_path / "sets.json")

    return write_sets


def test_none_has_no_chooser():
    assert compared_text_chooser(spec(None)) is None


def test_the_class_name_alone_comes_with_controls():
    found = compared_text_chooser(spec("class_name"))(sample("dog"))
    assert found[0] == {"kind": "class_name", "name": "dog", "text": "dog"}
    assert of_kind(found, "class_name", "text_set") == {"dog": "dog"}
    assert list(of_kind(found, "contentless")) == CONTROLS["contentless"]
    assert set(of_kind(found, "contradictory")) == {"cat", "background", "no dog", "everything except dog"}
    assert all(text.strip() for text in of_kind(found, "contentless", "contradictory"))


def test_a_file_gives_the_texts_of_a_class_once(write):
    choose = compared_text_chooser(spec(write({"cat": ["a kitten", "Cat", "A  Kitten", "feline", "a kitten"]})))
    assert list(of_kind(choose(sample()), "text_set")) == ["a kitten", "Cat", "feline"]
    assert of_kind(choose(sample("dog")), "text_set") == {}
    assert choose(sample("dog"))[0]["text"] == "dog"


def test_no_control_is_a_text_of_the_class(write):
    path = write({"object": ["An  object", "background"]})
    found = compared_text_chooser(spec(path, ["object", "something"]))(sample("object"))
    assert of_kind(found, "text_set") == {"An object": "An object", "background": "background"}
    texts = [each["text"] for each in found]
    assert len(texts) == len(set(texts))
    assert "an object" not in texts
    assert of_kind(found, "contentless").keys() == {".", "a", "an image"}
    assert "something" in of_kind(found, "contradictory")  # the other class


def test_published_texts_are_compared_by_their_source():
    samples = [
        sample(image=f"{number}.png", p0="", p1="cat", p4=f"cat {number}", p7=["big cat", "gray cat", "old cat"])
        for number in range(8)
    ]
    published = spec("published", layout="annotations")
    choose = compared_text_chooser(published)
    for each in samples:
        found = of_kind(choose(each), "text_set")
        assert list(found) == ["p1", "p4", "p7"]
        for source, text in found.items():
            assert text == choose_text(each, DatasetSpec("data", CLASSES, layout="annotations", text_source=source))
    assert len({of_kind(choose(each), "text_set")["p7"] for each in samples}) == 3


def test_pairs_without_published_texts_are_named():
    with pytest.raises(ValueError, match=r"compared_texts.*'published'.*'folder'.*a\.png"):
        compared_text_chooser(spec("published"))(sample())


@pytest.mark.parametrize(
    ("content", "message"),
    [({}, "'class_name'"), ({"cow": ["a cow"]}, "'cow'"), ({"cat": []}, r"\[\].*'cat'"), ({"cat": ["dog"]}, "'dog'")],
)
def test_wrong_files_are_refused(content, message, write):
    path = write(content)
    with pytest.raises(ValueError, match=f"^compared_texts.*{re.escape(path)}.*{message}"):
        compared_text_chooser(spec(path))


def test_a_missing_file_is_named():
    with pytest.raises(FileNotFoundError, match=r"^compared_texts.*'nowhere\.json'"):
        compared_text_chooser(spec("nowhere.json"))


def test_a_compared_text_of_a_class_is_not_absent_but_a_control_can_be(write):
    made = spec(write({"cat": ["a kitten"]}))
    samples = [sample() | {"compared_texts": compared_text_chooser(made)(sample())}]
    with pytest.raises(ValueError, match="'A kitten'"):
        with_absent_texts(group_by_image(samples), ["A kitten"], made, {"test": samples})
    (group,) = with_absent_texts(group_by_image(samples), ["background"], made, {"test": samples})
    assert group["absent_texts"] == ["background"]
