from __future__ import annotations

import re
from pathlib import Path

import pytest

from monai_tunevlseg.data.mask_encoding import MaskEncoding
from monai_tunevlseg.messages import shorten


def test_one_class_is_binary_and_several_count_from_1():
    assert MaskEncoding(["polyp"]).values == {"polyp": None}
    assert MaskEncoding(["polyp"]).binary
    assert MaskEncoding(["a", "b"]).values == {"a": 1, "b": 2}
    assert not MaskEncoding(["a", "b"]).binary


def test_label_values_follow_the_order_of_the_names():
    encoding = MaskEncoding(["a", "b"], {"b": 5, "a": 7})
    assert list(encoding.values.items()) == [("a", 7), ("b", 5)]
    assert not MaskEncoding(["a"], {"a": 2}).binary


def test_sample_holds_what_applies_and_no_more():
    image, mask = Path("/d/a.png"), Path("/d/m.png")
    paths = {"image": "/d/a.png", "label": "/d/m.png"}
    assert MaskEncoding(["polyp"]).sample(image, mask, "polyp") == paths | {"text": "polyp", "class_name": "polyp"}
    several = MaskEncoding(["polyp"]).sample(image, [mask, image], "polyp", ignore_value=255)
    assert several["label"] == ["/d/m.png", "/d/a.png"] and several["ignore_value"] == 255
    assert MaskEncoding(["polyp"], mask_threshold=9).sample(image, mask, "polyp")["mask_threshold"] == 9
    assert MaskEncoding(["a", "b"]).sample(image, mask, "b", slice=3, slice_axis=1) == paths | {
        "text": "b",
        "class_name": "b",
        "label_value": 2,
        "slice": 3,
        "slice_axis": 1,
    }


@pytest.mark.parametrize("names", ["polyp", [], ["a", "a"], ["a", " "], [1], None])
def test_names_that_are_not_distinct_texts_are_refused(names):
    with pytest.raises(ValueError, match="class_names .*" + re.escape(repr(names))):
        MaskEncoding(names)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"a": 1, "b": 2, "c": 3}, "class c; .*a, b"),
        ({"a": 1}, "class b;"),
        ({"a": 1, "b": "2"}, "integers, .*'2'"),
        ({"a": 1, "b": True}, "integers, .*True"),
        ({"a": 1, "b": 1}, r"\{'a': 1, 'b': 1\}"),
    ],
)
def test_wrong_label_values_are_refused(values, reason):
    with pytest.raises(ValueError, match=reason):
        MaskEncoding(["a", "b"], values)


@pytest.mark.parametrize("encoding", [(["a", "b"], None), (["a"], {"a": 1})])
def test_threshold_with_label_values_is_refused(encoding):
    with pytest.raises(ValueError, match="mask_threshold 1 "):
        MaskEncoding(*encoding, mask_threshold=1)


def test_shorten():
    assert shorten(range(10)) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    assert shorten(range(12)) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ... and 2 more"


def test_a_class_may_have_the_value_0_beside_others_but_not_alone():
    assert MaskEncoding(["sky", "road"], {"sky": 0, "road": 1}).values == {"sky": 0, "road": 1}
    with pytest.raises(ValueError, match=r"\{'polyp': 0\}"):
        MaskEncoding(["polyp"], {"polyp": 0})


@pytest.mark.parametrize("threshold", [float("nan"), float("inf"), -1, 0, 256, True, "128"])
def test_a_threshold_outside_the_range_of_brightness_is_refused(threshold):
    with pytest.raises(ValueError, match=f"mask_threshold .* not {threshold!r}"):
        MaskEncoding(["polyp"], mask_threshold=threshold)
    assert MaskEncoding(["polyp"], mask_threshold=255).mask_threshold == 255
