"""Imports go one way: no circle between modules, and no arrow from a lower room to a higher one.

Every import counts, also one in a function or for types only.
"""

from __future__ import annotations

import ast
import importlib.util
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "monai_tunevlseg"
LEVELS = (  # rooms from the highest to the lowest; rooms of one level do not import each other
    {"__main__"},
    {"commands"},
    {"app"},
    {"monai_label", "benchmark", "sharing"},
    {"demo", "transfer"},
    {"__init__"},  # the front door
    {"search"},
    {"bundles", "hyperparameters", "segmenter"},
    {"feature_cache"},
    {"training", "evaluation", "networks", "inferers"},
    {"methods", "data", "calibration"},
    {"csv_files"},  # a helper that writes with another
)  # all others are helpers, on a level below


@pytest.fixture(scope="module")
def sources() -> dict[str, str]:
    """Source of each module by dotted name; packages end in ``__init__``."""
    files = (ROOT / PACKAGE).rglob("*.py")
    return {".".join(file.relative_to(ROOT).with_suffix("").parts): file.read_text(encoding="utf-8") for file in files}


@cache
def imported(module: str, source: str) -> list[list[str]]:
    """Return for each imported name what it may be: a module, or something of the module that it is taken from."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [[alias.name] for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = importlib.util.resolve_name("." * node.level + (node.module or ""), module.rpartition(".")[0])
            found += [[f"{origin}.{alias.name}", origin] for alias in node.names]
    return found


def arrows(sources: dict[str, str]) -> dict[str, set[str]]:
    """Return the modules of the package that each imports."""
    modules = {name.removesuffix(".__init__"): name for name in sources}
    return {
        here: {
            next(modules[name] for name in names if name in modules)
            for names in imported(here, source)
            if modules.keys() & names
        }
        for here, source in sources.items()
    }


def circle(sources: dict[str, str]) -> list[str]:
    try:
        TopologicalSorter(arrows(sources)).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def room(module: str) -> str:
    return module.split(".")[1]


def level(module: str) -> int:
    return next((number for number, rooms in enumerate(LEVELS) if room(module) in rooms), len(LEVELS))


def upward(sources: dict[str, str]) -> list[str]:
    return [
        f"{here} -> {there}"
        for here, targets in arrows(sources).items()
        for there in targets
        if room(here) != room(there) and level(here) >= level(there)
    ]


def test_every_room_that_has_a_level_exists(sources):
    assert set().union(*LEVELS) <= set(map(room, sources))


def test_no_circle(sources):
    assert not circle(sources)


def test_no_arrow_points_up(sources):
    assert not upward(sources)


@pytest.mark.parametrize(
    "line",
    [
        "from monai_tunevlseg.networks.prompt_tuned_network import PromptTunedNetwork",
        "from monai_tunevlseg.networks import prompt_tuned_network",
        "from .prompt_tuned_network import PromptTunedNetwork",
        "import monai_tunevlseg.networks.prompt_tuned_network",
        "from monai_tunevlseg.networks import PromptTunedNetwork",
    ],
)
@pytest.mark.parametrize("place", ["{}", "if TYPE_CHECKING:\n    {}", "def late():\n    {}"])
def test_a_circle_is_found(sources, place, line):
    state = f"{PACKAGE}.networks.identity"
    faulty = sources | {state: f"{sources[state]}\n{place.format(line)}\n"}
    assert state in circle(faulty)
    assert not upward(faulty)


@pytest.mark.parametrize("place", ["{}", "if TYPE_CHECKING:\n    {}", "def late():\n    {}"])
@pytest.mark.parametrize(
    ("here", "there"),
    [
        ("networks.upsampler", "search.study"),
        ("methods.vpt", "data.sample_masks"),
        ("registry", "monai_label.path_checks"),
    ],
)
def test_an_arrow_that_points_up_is_found(sources, place, here, there):
    here, there = f"{PACKAGE}.{here}", f"{PACKAGE}.{there}"
    faulty = sources | {here: f"{sources[here]}\n{place.format(f'import {there}')}\n"}
    assert upward(faulty) == [f"{here} -> {there}"]
