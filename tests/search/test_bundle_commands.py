"""The command lines of bundle runs: every value arrives unchanged, whatever it looks like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fire
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from monai_tunevlseg.search.experiments import bundle_command

TEXTS = ["polyp", "['$print(1)']", "{'_target_': 'os.system'}", "'$print(1)'", "grade #2", "--config_file=evil.yaml"]
TEXTS += ["-", "--", "1", "1.50", "True", "(1, 2)", 'it\'s "it"', "a\nb", "\\", "äöü 😀", ""]


def arriving(**values: Any) -> dict[str, Any]:
    """Return the options that MONAI's command would get."""
    command = bundle_command([Path("train.yaml")], values)
    return fire.Fire(lambda **options: options, command=command[4:], serialize=lambda _: "")


@given(st.text())
@example("")
def test_texts_stay_texts(text):
    assert arriving(neutral_text=text, epochs=1) == {"config_file": ["train.yaml"], "neutral_text": text, "epochs": 1}


@pytest.mark.parametrize("value", [*TEXTS, *map(Path, TEXTS[:-1])], ids=repr)
def test_texts_that_look_like_something_else_stay_texts(value):
    assert arriving(neutral_text=value)["neutral_text"] == str(value)


@pytest.mark.parametrize("value", [1, -1, 0.5, 1e-5, True, ["a", "1"], [0.5, 1], {"polyp": 1}, -0.25], ids=repr)
def test_other_values_keep_their_types(value):
    assert arriving(value=value)["value"] == value


def test_nothing_is_null():
    assert arriving(method=None)["method"] == "null"
