"""The help of every option and argument is a noun phrase that stands alone."""

from __future__ import annotations

import re

import pytest
from command_tree import COMMANDS, OPTIONS

TYPERS_OWN = ("install_completion", "show_completion")
FRAGMENTS = re.compile(
    "An?|As|At|By|For|From|Has|Have|Having|How|If|In|Is|Are|Its|Of|Off|On|Once|Only|That|The|Them|This|To|What|When|"
    "Where|Whether|Which|Who|Whose|Why|With|Without"
)
IMPERATIVES = re.compile("Add|Check|Do|Encode|Give|Join|Keep|Leave|Make|Pack|Print|Read|Say|Show|Skip|Take|Use|Write")


def is_noun_phrase(text):
    """Return whether a help text starts with a capitalized word that can head a noun phrase, and ends with a period."""
    first = re.match(r"([A-Z][\w/'-]+)[,:;]? \S", text or "")
    if first is None or not text.endswith("."):
        return False
    return not (FRAGMENTS.fullmatch(first[1]) or IMPERATIVES.fullmatch(first[1]))


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
def test_help_is_a_noun_phrase(command):
    helps = {parameter.name: parameter.help for parameter in command.params if parameter.name not in TYPERS_OWN}
    assert {option: text for option, text in helps.items() if not is_noun_phrase(text)} == {}


def test_options_have_the_names_of_optuna_and_monai():
    assert {"--n-trials", "--heartbeat-interval", "--grace-period", "--override"} <= OPTIONS["tunevlseg search"]
    assert {"--n-trials", "--n-jobs", "--override"} <= OPTIONS["tunevlseg benchmark"]
    assert {"--run-dir", "--base-model-id", "--changelog", "--override"} <= OPTIONS["tunevlseg share"]
    assert "--max-distance" in OPTIONS["tunevlseg datasets check"]


@pytest.mark.parametrize(
    "text",
    [
        *("Of the samplers.", "As of `search`; the default is none.", "Has a folder for each dataset.", "Its folder."),
        *("Where to keep it.", "Who made it.", "X.Y.Z.", "The dataset.", "median or halving.", "Print JSON instead."),
        *("", None, "Random seed of the sampler"),
    ],
)
def test_fragments_are_found(text):
    assert not is_noun_phrase(text)
