"""The networks that the contract suites loop over: each registered VLSM needs an entry in ``CASES``."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from monai_tunevlseg.methods import METHODS, PromptLearner
from monai_tunevlseg.networks import VLSMS, BaseModel, PromptTunedNetwork


@dataclass(frozen=True)
class NetworkCase:
    """A network on a tiny base model.

    Attributes:
        name: name in test ids.
        vlsm: registered name of the VLSM.
        folder: name of a session fixture, the folder of the base model.
        divisor: number of pixels; the sides of an image must be multiples of it.
        size: side of a small square image in pixels.
        methods: names of the methods to test.
        positions: number of positions of the text encoder.
        rounding: factor of the tolerance of rounding errors: below 1 if part of the network is in float32 beside
            bfloat16, above 1 if random weights amplify the errors.
        lacks: what adapters find nothing of: ``vision`` layers, ``taps``.
    """

    name: str
    vlsm: str
    folder: str
    divisor: int
    size: int
    methods: list[str]
    positions: int = 77
    rounding: float = 1
    lacks: tuple[str, ...] = ()

    @property
    def network(self) -> type[PromptTunedNetwork]:
        """Class of the network."""
        return VLSMS[self.vlsm]

    @property
    def prompt_learners(self) -> list[str]:
        """Names of the methods that are prompt learners."""
        return [name for name in self.methods if issubclass(METHODS[name], PromptLearner)]

    def load(self, folder: str) -> BaseModel:
        """Load the base model from a folder."""
        return self.network.load_base(folder)


def supported_methods(vlsm: str) -> list[str]:
    """List the methods that a VLSM supports."""
    return [name for name in METHODS if VLSMS[vlsm].no_visual_prompts is None or not METHODS[name].prompts_vision]


CASES = [
    NetworkCase("clipseg", "clipseg", "tiny_clipseg_dir", 8, 32, supported_methods("clipseg"), rounding=0.25),
    # one method is enough, because only the end of the decoder differs from the first case
    NetworkCase("clipseg_refined", "clipseg", "tiny_refined_clipseg_dir", 16, 64, ["maple"]),
    NetworkCase("cris", "cris", "tiny_cris_dir", 32, 64, supported_methods("cris"), lacks=("vision", "taps")),
    NetworkCase(
        "sam3", "sam3", "tiny_sam3_dir", 8, 32, supported_methods("sam3"), positions=32, rounding=8, lacks=("taps",)
    ),
    # the methods of prompts alone, because only the text encoder differs from the case before
    NetworkCase(
        "sam3_lite",
        "sam3",
        "tiny_sam3_lite_dir",
        8,
        32,
        ["coop", "cocoop", "maple"],
        positions=32,
        rounding=8,
        lacks=("taps",),
    ),
]

every_network = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)

_COMBINATIONS = [(case, method) for case in CASES for method in case.methods]
_ZERO_SHOT = [(case, None) for case in CASES]


def _ids(combinations: list[tuple[NetworkCase, str | None]]) -> list[str]:
    return [f"{case.name}-{method or 'zero_shot'}" for case, method in combinations]


every_combination = pytest.mark.parametrize(("case", "method"), _COMBINATIONS, ids=_ids(_COMBINATIONS))
_LEARNERS = [(case, method) for case, method in _COMBINATIONS if issubclass(METHODS[method], PromptLearner)]
every_prompt_learner = pytest.mark.parametrize(("case", "method"), _LEARNERS, ids=_ids(_LEARNERS))
every_prompt_learner_and_zero_shot = pytest.mark.parametrize(
    ("case", "method"), _LEARNERS + _ZERO_SHOT, ids=_ids(_LEARNERS + _ZERO_SHOT)
)
every_combination_and_zero_shot = pytest.mark.parametrize(
    ("case", "method"), _COMBINATIONS + _ZERO_SHOT, ids=_ids(_COMBINATIONS + _ZERO_SHOT)
)
