"""Texts that an image is known not to show."""

import json
import re

import numpy as np
import pytest

from monai_tunevlseg.data import DatasetSpec, group_by_image, with_absent_texts
from monai_tunevlseg.data.absent_texts import POOL_FILE
from monai_tunevlseg.data.layouts import LAYOUTS


def sample(image, class_name, text=None, **more):
    return {"image": image, "label": f"{image}_mask", "class_name": class_name, "text": text or class_name} | more


def absent(samples, source, class_names=("cat", "dog", "cow"), **spec):
    """Return the absent texts of each image."""
    groups = group_by_image(samples)
    before = json.dumps(groups)
    made = with_absent_texts(groups, source, DatasetSpec("data", class_names, **spec), {"train": [], "test": samples})
    assert json.dumps(groups) == before
    assert [{key: value for key, value in group.items() if key != "absent_texts"} for group in made] == groups
    return {group["image"]: group.get("absent_texts") for group in made}


LABEL_MAPS = [sample("a", "dog", label_value=2), sample("b", "cat", label_value=1), sample("b", "cow", label_value=3)]


def test_none_leaves_the_groups_as_they_are():
    assert absent(LABEL_MAPS, None) == {"a": None, "b": None}


def test_a_label_map_says_which_classes_are_absent():
    assert absent(LABEL_MAPS, "classes") == {"a": ["cat", "cow"], "b": ["dog"]}


def test_slices_of_a_volume_are_images_of_their_own():
    samples = [sample("v", "dog", label_value=2, slice=0), sample("v", "cat", label_value=1, slice=1)]
    groups = with_absent_texts(group_by_image(samples), "classes", DatasetSpec("data", ["cat", "dog"]), {})
    assert [group["absent_texts"] for group in groups] == [["cat"], ["dog"]]


def test_without_label_maps_a_missing_mask_says_nothing():
    with pytest.raises(ValueError, match="'folder'"):
        absent([sample("a", "dog"), sample("b", "cat")], "classes")
    some = [sample("a", "dog"), sample("b", "cat", label_value=1)]
    assert absent(some, "classes") == {"a": [], "b": ["dog", "cow"]}


def test_images_with_a_pair_for_each_class_have_no_absent_ones():
    assert absent([sample("a", name) for name in ("cat", "dog", "cow")], "classes") == {"a": []}


@pytest.mark.parametrize("layout", ["busi", "chexlocalize"])
def test_layouts_that_list_what_an_image_shows(layout):
    names = LAYOUTS[layout].info.class_names
    assert absent([sample("a", names[0])], "classes", None, layout=layout) == {"a": list(names[1:])}


def test_a_normal_breast_shows_neither_kind_of_tumor():
    samples = [sample("normal", "breast tumor"), sample("benign", "benign tumor")]
    expected = {"normal": ["benign tumor", "malignant tumor"], "benign": ["malignant tumor"]}
    assert absent(samples, "classes", None, layout="busi") == expected


def test_a_class_whose_name_is_the_neutral_text_is_not_absent():
    assert absent([sample("a", "dog", "cat", label_value=2)], "classes", neutral_text="cat") == {"a": ["cow"]}


def test_one_class_has_no_other_classes():
    with pytest.raises(ValueError, match="'polyp'"):
        absent([sample("a", "polyp")], "classes", ["polyp"])


POOL = json.loads(POOL_FILE.read_text())


def kinds(texts):
    """Return the kinds of images that the pool's texts come from, each with all of its texts."""
    found = {kind for kind, content in POOL.items() if set(content["texts"]) <= set(texts)}
    assert sum(len(POOL[kind]["texts"]) for kind in found) == len(texts) == len(set(texts))
    return found


@pytest.mark.parametrize(
    ("class_name", "text", "left_out"),
    [
        ("polyp", None, {"endoscopy"}),
        ("Polyps", None, {"endoscopy"}),
        ("car", None, {"photographs"}),
        ("breast tumor", None, {"breast imaging", "brain imaging", "abdominal imaging"}),
        ("structure", "the optic disk of a retina", {"fundus photography"}),
        ("scar", None, set()),  # has "car" in it, which is not a word of it
    ],
)
def test_a_kind_of_images_with_a_word_of_the_dataset_is_left_out_of_the_pool(class_name, text, left_out):
    (texts,) = absent([sample("a", class_name, text)], "pool", [class_name]).values()
    assert kinds(texts) == POOL.keys() - left_out


def test_the_organ_of_a_public_dataset_counts():
    named = absent([sample("a", "polyp")], "pool", ["polyp"])["a"]
    public = absent([sample("a", "polyp")], "pool", ["polyp"], layout="kvasir")["a"]
    assert kinds(named) - kinds(public) == {"abdominal imaging"}  # which shows colons


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if LAYOUTS[name].info])
def test_no_text_of_the_pool_can_be_in_a_public_dataset(layout):
    names = LAYOUTS[layout].info.class_names
    (texts,) = absent([sample("a", names[0])], "pool", None, layout=layout).values()
    assert len(texts) > 10
    shown = {word for name in names for word in re.findall(r"\w+", name)}
    assert not shown & {word for text in texts for word in re.findall(r"\w+", text)}
    modality = {"endoscopy": {"endoscopy"}, "X-ray": {"chest radiography"}, "ultrasound": set()}
    photographs = {"photographs"} if LAYOUTS[layout].info.organ == "none" else {"skin"}
    assert kinds(texts).isdisjoint(modality.get(LAYOUTS[layout].info.modality, photographs))


def test_the_pools_texts_are_of_one_kind_each():
    texts = [text for kind in POOL.values() for text in kind["texts"]]
    assert len(texts) == len(set(texts)) >= 30
    assert all(text == text.strip().lower() for text in texts)


def test_a_pool_of_which_nothing_is_left_is_refused():
    words = " ".join(kind["texts"][0] for kind in POOL.values())
    with pytest.raises(ValueError, match="pool"):
        absent([sample("a", "thing", words)], "pool", ["thing"])


def test_own_texts_from_a_list_and_from_files(tmp_path):
    (tmp_path / "texts.json").write_text('["red car", "tree", "Red  car"]')
    (tmp_path / "texts.txt").write_text("red car\n\n tree \n")
    expected = {"a": ["red car", "tree"], "b": ["red car", "tree"]}
    for source in (["red car", "tree"], str(tmp_path / "texts.txt")):
        assert absent(LABEL_MAPS, source) == expected
    assert absent(LABEL_MAPS, str(tmp_path / "texts.json")) == {"a": ["Red car", "tree"], "b": ["Red car", "tree"]}


@pytest.mark.parametrize("text", ["dog", " DOG ", "a  Dog in\tthe  sun"])
def test_a_text_of_the_dataset_is_not_absent(text):
    samples = [*LABEL_MAPS, sample("c", "dog", "a dog in the sun", label_value=2)]
    with pytest.raises(ValueError, match=re.escape(repr(" ".join(text.split())))):
        absent(samples, ["tree", text])


def test_a_text_of_another_split_is_not_absent():
    with pytest.raises(ValueError, match="'a puppy'"):
        with_absent_texts(
            group_by_image(LABEL_MAPS),
            ["a puppy"],
            DatasetSpec("data", ["cat", "dog", "cow"]),
            {"train": [sample("z", "dog", "A puppy")], "test": LABEL_MAPS},
        )


@pytest.mark.parametrize(("name", "content"), [("t.json", "[]"), ("t.txt", "\n \n"), ("t.json", '["tree", " "]')])
def test_no_texts_and_empty_ones_are_refused(name, content, tmp_path):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=re.escape(str(tmp_path / name))):
        absent(LABEL_MAPS, str(tmp_path / name))


@pytest.mark.parametrize("wrong", [[], [""], ["tree", 3]])
def test_lists_without_texts_are_refused(wrong):
    with pytest.raises(ValueError, match="absent_texts"):
        absent(LABEL_MAPS, wrong)


def test_files_that_hold_no_texts_are_named(tmp_path):
    (tmp_path / "object.json").write_text('{"texts": ["tree"]}')
    (tmp_path / "bytes.txt").write_bytes(np.random.default_rng(0).bytes(64) + b"\xff")
    for name in ("object.json", "bytes.txt"):
        with pytest.raises(ValueError, match=re.escape(str(tmp_path / name))):
            absent(LABEL_MAPS, str(tmp_path / name))
    for name in ("missing.txt", "missing.json"):
        with pytest.raises(FileNotFoundError, match=re.escape(name)):
            absent(LABEL_MAPS, str(tmp_path / name))
