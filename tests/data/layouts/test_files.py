from __future__ import annotations

import re

import numpy as np
import pytest

from monai_tunevlseg.data import MaskEncoding
from monai_tunevlseg.data.image_files import index_by_stem
from monai_tunevlseg.data.layouts._base import DatasetInfo
from monai_tunevlseg.data.layouts._files import find_root
from monai_tunevlseg.data.layouts._mask_encodings import binary_encoding, label_map_encoding
from monai_tunevlseg.data.layouts._pairing import pair_masks, pair_masks_by_name

INFO = DatasetInfo("Set", ("a", "b"), "x", "y", (1, 1, 1), "L.", "https://s", "r")


def has_images(folder):
    return (folder / "images").is_dir()


def test_the_folder_itself_takes_precedence(tmp_path):
    (tmp_path / "Set" / "images").mkdir(parents=True)
    assert find_root(tmp_path, has_images, "images/") == tmp_path / "Set"
    (tmp_path / "images").mkdir()
    assert find_root(tmp_path, has_images, "images/") == tmp_path


def test_no_folder_and_several_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"{tmp_path} .*images/; .*no folders"):
        find_root(tmp_path, has_images, "images/")
    for name in ("one", "two", ".hidden"):
        (tmp_path / name / "images").mkdir(parents=True)
    with pytest.raises(ValueError, match="images/ .*: one, two; .*dataset_dir"):
        find_root(tmp_path, has_images, "images/")


def test_endings_are_taken_off_and_chosen_files_passed_over(tmp_path, save):
    for name in ("a_mask.png", "b_mask.png", "c.png", "d.cfg"):
        save(tmp_path / name, np.zeros((2, 3), np.uint8)) if name.endswith("png") else (tmp_path / name).touch()
    found, issues = index_by_stem(tmp_path, "_mask", re.compile(r"\w\.cfg"))
    assert found == {"a": tmp_path / "a_mask.png", "b": tmp_path / "b_mask.png"}
    assert [(issue.kind, issue.files) for issue in issues] == [("extra", (str(tmp_path / "c.png"),))]


def test_images_are_matched_with_all_their_masks(tmp_path, save):
    def put(name, *shape):
        return save(tmp_path / f"{name}.png", np.zeros(shape, np.uint8))

    images = {name: put(name, 2, 3) for name in "abc"}
    masks = {"a": [put("a1", 2, 3), put("a2", 2, 3)], "b": [put("b1", 2, 3), put("b2", 3, 2)], "d": [put("d1", 2, 3)]}
    stems, issues = pair_masks(tmp_path, images, masks)
    assert stems == ["a"]
    missing, size = issues
    assert missing.kind == "missing" and set(missing.files) == {str(images["c"]), str(masks["d"][0])}
    assert re.search("1 images without a mask: c; .*1 masks without an image: d1;", missing.message)
    assert size.kind == "size" and re.search(r"\b1 masks .*: b2\.png is 3 x 2", size.message)
    assert pair_masks_by_name(tmp_path, images, masks) == (["a", "b"], [missing])


def test_the_users_encoding_takes_precedence():
    assert binary_encoding(MaskEncoding(["a"]), INFO).mask_threshold is None
    assert binary_encoding(MaskEncoding(["a"]), INFO, 128).mask_threshold == 128
    assert binary_encoding(MaskEncoding(["a"], mask_threshold=0.5), INFO, 128).mask_threshold == 0.5
    assert label_map_encoding(MaskEncoding(["b"]), INFO, {"a": 1, "b": 7}).values == {"b": 7}
    assert label_map_encoding(MaskEncoding(["b"], {"b": 9}), INFO, {"a": 1, "b": 7}).values == {"b": 9}


def test_classes_that_the_dataset_has_not_are_refused():
    for compose in (binary_encoding, lambda encoding, info: label_map_encoding(encoding, info, {"a": 1, "b": 2})):
        with pytest.raises(ValueError, match="Set .*'c', 'd': class_names .*a, b; .*neutral_text"):
            compose(MaskEncoding(["a", "c", "d"]), INFO)
