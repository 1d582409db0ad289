from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco

from monai_tunevlseg.data.io.run_lengths import decode_run_lengths, parse_run_lengths


def encode(mask):
    """COCO's code as pycocotools writes it."""
    rle = coco.encode(np.asfortranarray(mask))
    return {"size": rle["size"], "counts": rle["counts"].decode()}


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 30), st.integers(1, 30)), elements=st.integers(0, 1)))
def test_run_lengths_of_any_mask(mask):
    rle = encode(mask)
    np.testing.assert_array_equal(decode_run_lengths(rle, Path("a.json")), mask)
    runs = parse_run_lengths(rle, Path("a.json"))
    assert sum(runs) == mask.size and sum(runs[1::2]) == mask.sum()


@given(st.text("0123456789:;<=>?@ABCNOPQRSTUVWXYZ[]^_`abcdefghijklmno~ é", max_size=12), st.integers(-2, 9))
def test_any_code_is_decoded_to_its_size_or_named(counts, width):
    try:
        mask = decode_run_lengths({"size": [6, width], "counts": counts}, Path("gt.json"))
    except ValueError as error:
        assert str(error).startswith("gt.json ")
    else:
        assert mask.shape == (6, width) and set(np.unique(mask)) <= {0, 1}


@pytest.mark.parametrize("rle", [{}, {"size": [2, 3]}, {"size": 6, "counts": "6"}, {"size": [2, 3], "counts": [6]}, 6])
def test_codes_of_another_form_are_named(rle):
    with pytest.raises(ValueError, match=r"gt\.json"):
        decode_run_lengths(rle, Path("gt.json"))
