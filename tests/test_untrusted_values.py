import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from monai.bundle import ConfigParser

from monai_tunevlseg.untrusted_values import MAX_TEXT_LENGTH, refuse_expressions

PLANTED = "$__import__('pathlib').Path('planted').touch()"
REFUSED = {
    "expression": PLANTED,
    "reference": "@device",
    "nested reference": "@network::0",
    "relative reference": "a @#b",
    "macro": "%configs/train.yaml",
    "hash": "grade #2 tumor",
    "separator": "grade ::2 tumor",
    "in a list": ["polyp", PLANTED],
    "in a mapping": {"tumor": {"color": PLANTED}},
    "as a key": {PLANTED: 1},
    "target": {"_target_": "os.system", "command": "true"},
    "merged key": {"+imports": ["$import os"]},
    "number for a key": {1: "polyp"},
    "object": object(),
    "bytes": b"polyp",
    "not a number": math.nan,
    "infinite": [math.inf],
    "long": "x" * (MAX_TEXT_LENGTH + 1),
}


@pytest.mark.parametrize("value", REFUSED.values(), ids=REFUSED)
def test_refused(value):
    with pytest.raises(ValueError, match="the request"):
        refuse_expressions(value, "the request")


def test_message_names_the_value_and_its_origin():
    with pytest.raises(ValueError, match=r"labels\.json, tumor.*grade #2"):
        refuse_expressions({"tumor": "grade #2"}, "labels.json")


@pytest.mark.parametrize(
    "text", ["me@hospital.org", "50 % contrast", "US$ 5", "a:b", "@ home", "", "étude", "'quoted'"]
)
def test_texts_that_monai_takes_literally_are_accepted(text):
    refuse_expressions(text, "here")
    assert _parsed(text) == text


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("$@%#:_+ab 1"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("$@%#:_+ab", max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(JSON)
def test_accepted_values_are_unchanged_by_a_config(value):
    try:
        refuse_expressions(value, "here")
    except ValueError:
        return
    assert _parsed(value) == value


def _parsed(value):
    return ConfigParser({"value": value}).get_parsed_content("value")
