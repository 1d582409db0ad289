"""The networks that the contract suites loop over: a new one joins with one entry in ``CASES``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from monai_tunevlseg.methods import METHODS
from monai_tunevlseg.networks import (
    BaseModel,
    PromptTunedCLIPSeg,
    PromptTunedCRIS,
    PromptTunedNetwork,
    load_clipseg,
    load_cris,
)

TEXT_METHODS = [name for name in METHODS if not METHODS[name].prompts_vision]


@dataclass(frozen=True)
class NetworkCase:
    """A network on a tiny base model.

    Attributes:
        name: in test ids.
        network: its class.
        load: loads the base model from the folder that the fixture ``folder`` returns.
        folder: name of a session fixture.
        divisor: number of pixels; the sides of an image must be multiples of it.
        size: of a small square image, in pixels.
        methods: names of the methods to test it with.
    """

    name: str
    network: type[PromptTunedNetwork]
    load: Callable[[str], BaseModel]
    folder: str
    divisor: int
    size: int
    methods: list[str]


CASES = [
    NetworkCase("clipseg", PromptTunedCLIPSeg, load_clipseg, "tiny_clipseg_dir", 8, 32, list(METHODS)),
    # only the end of the decoder differs from the first, so one method will do
    NetworkCase("clipseg_refined", PromptTunedCLIPSeg, load_clipseg, "tiny_refined_clipseg_dir", 16, 64, ["maple"]),
    NetworkCase("cris", PromptTunedCRIS, load_cris, "tiny_cris_dir", 32, 64, TEXT_METHODS),
]

every_network = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)

_COMBINATIONS = [(case, method) for case in CASES for method in case.methods]
_ZERO_SHOT = [(case, None) for case in CASES]


def _ids(combinations: list[tuple[NetworkCase, str | None]]) -> list[str]:
    return [f"{case.name}-{method or 'zero_shot'}" for case, method in combinations]


every_combination = pytest.mark.parametrize(("case", "method"), _COMBINATIONS, ids=_ids(_COMBINATIONS))
every_combination_and_zero_shot = pytest.mark.parametrize(
    ("case", "method"), _COMBINATIONS + _ZERO_SHOT, ids=_ids(_COMBINATIONS + _ZERO_SHOT)
)
