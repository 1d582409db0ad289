"""Fixtures that build networks on tiny base models."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from network_cases import NetworkCase
from transformers.utils import logging as transformers_logging

from monai_tunevlseg.networks import BaseModel, PromptTunedNetwork

CLASS_NAMES = ["polyp", "red circle", "lesion"]


@pytest.fixture(scope="session")
def loaded_base_models() -> dict[str, BaseModel]:
    """Base models by the name of their case, loaded once, because networks never change them."""
    return {}


@pytest.fixture
def base_model_of(request, loaded_base_models) -> Callable[[NetworkCase], BaseModel]:
    """Get the tiny base model of a case."""

    def get(case: NetworkCase) -> BaseModel:
        if case.name not in loaded_base_models:
            loaded_base_models[case.name] = case.load(str(request.getfixturevalue(case.folder)))
        return loaded_base_models[case.name]

    return get


@pytest.fixture
def build(base_model_of, device) -> Callable[..., PromptTunedNetwork]:
    """Build the network of a case; the same call gives the same weights."""

    def get(
        case: NetworkCase,
        method: str | None = None,
        upsampler: bool = True,
        class_names: list[str] = CLASS_NAMES,
        base_model: BaseModel | None = None,
        seed: int = 0,
        unfreeze: str | None = None,
        **arguments,
    ) -> PromptTunedNetwork:
        base = base_model or base_model_of(case)
        torch.manual_seed(seed)  # after the loading, which draws random numbers too
        return case.network(base, class_names, method, arguments, upsampler, unfreeze).to(device)

    return get


@pytest.fixture
def pictures(device) -> Callable[..., torch.Tensor]:
    """Get random images, all different: (count, 3, height, width)."""

    def get(case: NetworkCase, count: int = 2, height: int | None = None, width: int | None = None) -> torch.Tensor:
        generator = torch.Generator().manual_seed(3)
        return torch.randn(count, 3, height or case.size, width or case.size, generator=generator).to(device)

    return get


@pytest.fixture
def quiet_transformers() -> Iterator[None]:
    """Errors alone in transformers' log, which is full of reports on damaged models."""
    before = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    yield
    transformers_logging.set_verbosity(before)
