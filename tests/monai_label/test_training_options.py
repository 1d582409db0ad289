"""Training options in requests."""

from __future__ import annotations

import json

import pytest

from monai_tunevlseg.monai_label.training_options import OPTIONS, parse_training_options
from monai_tunevlseg.untrusted_values import refuse_expressions

pytest.importorskip("hypothesis", reason="the environment of MONAI Label has no hypothesis; make test runs this")

from hypothesis import given
from hypothesis import strategies as st

EVIL = ["$__import__('os').system('id')", "@batch_size", "%train.yaml::epochs", "a#b", "1"]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(EVIL),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def test_valid_options_are_kept_and_keys_of_the_server_dropped():
    options = {"max_epochs": 3, "batch_size": 2, "effective_batch_size": 8.0, "learning_rate": 1, "val_split": 0.2}
    asked = options | {"pretrained": False, "model": "a", "client_id": "b", "gpus": "all", "local_rank": 0}
    assert parse_training_options(asked) == options | {"pretrained": False}
    assert isinstance(parse_training_options(asked)["effective_batch_size"], int)


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("value", [*EVIL, 0, -1, float("nan"), float("inf"), 1e30, None, [], {}, "0.001"])
def test_a_wrong_value_is_named(name, value):
    with pytest.raises(ValueError, match=f"^{name} is "):
        parse_training_options({name: value})


@pytest.mark.parametrize("name", ["epochs", "run", "bundle_path", "initialize", "$x", "_target_"])
def test_an_unknown_option_is_named(name):
    with pytest.raises(ValueError) as caught:
        parse_training_options({name: 1})
    assert repr(name) in str(caught.value)


@given(st.dictionaries(st.sampled_from(OPTIONS) | st.text(), json_values))
def test_only_plain_numbers_are_returned_for_any_request(request_of_a_client):
    try:
        options = parse_training_options(request_of_a_client)
    except ValueError as error:
        assert len(str(error)) < 1000
    else:
        refuse_expressions(options, "the options")
        assert all(type(value) in (bool, int, float) for value in options.values())
        json.dumps(options, allow_nan=False)
