"""``torch.compile``: equal results, and no change of a shared base model."""

from __future__ import annotations

import shutil

import pytest
import torch
from network_cases import CASES
from tiny_methods import tiny_arguments

from monai_tunevlseg.networks import PromptTunedNetwork, compile_layers

CLIPSEG, CRIS = (next(case for case in CASES if case.name == name) for name in ("clipseg", "cris"))
with_a_method = pytest.mark.parametrize(
    ("case", "method"), [(CLIPSEG, "maple"), (CRIS, "cocoop")], ids=["clipseg", "cris"]
)
needs_a_compiler = pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")


def compiled_modules(network: PromptTunedNetwork) -> set[str]:
    return {name for name, module in network.base.named_modules() if module._compiled_call_impl is not None}


def logits_and_gradients(network: PromptTunedNetwork, image: torch.Tensor) -> dict[str, torch.Tensor]:
    network.zero_grad()
    logits = network.eval()(image, ["polyp"] * len(image))  # eval, because dropout is random
    logits.square().mean().backward()
    gradients = {name: parameter.grad for name, parameter in network.named_parameters() if parameter.grad is not None}
    return {"logits": logits.detach(), **gradients}


@needs_a_compiler
def test_compiled_layers_give_the_same_logits_and_gradients(build, pictures):
    expected = logits_and_gradients(build(CLIPSEG, "maple"), pictures(CLIPSEG))
    actual = logits_and_gradients(compile_layers(build(CLIPSEG, "maple")), pictures(CLIPSEG))
    assert len(expected) > 1
    torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-5)


@needs_a_compiler
@pytest.mark.parametrize("method", ["cocoop", "lora"])
def test_so_they_do_in_cris(method, build, pictures):
    plain, compiled = (build(CRIS, method, **tiny_arguments(method)) for _ in range(2))
    with torch.no_grad():
        for own, other in zip(plain.parameters(), compiled.parameters(), strict=True):
            if own.requires_grad:  # an update that is zero would be equal in any case
                other.copy_(own.normal_(std=0.1))
        expected = plain.eval()(pictures(CRIS))
        actual = compile_layers(compiled).eval()(pictures(CRIS))
    torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-5)


@with_a_method
def test_all_layers_are_compiled_and_the_base_model_stays_as_it_is(case, method, build):
    network, other = compile_layers(build(case, method)), build(case, method)
    parents = {name.rpartition(".")[0] for name in compiled_modules(network)}
    assert parents == set(case.network.repeated_layers)
    assert not compiled_modules(other)
    assert next(network.base.parameters()) is next(other.base.parameters())  # the weights are shared


@with_a_method
def test_checkpoints_fit_whether_compiled_or_not(case, method, build):
    plain, compiled = build(case, method, seed=1), compile_layers(build(case, method, seed=2))
    compiled.load_state_dict(plain.state_dict())
    plain.load_state_dict(compiled.state_dict())
    assert compiled.state_dict().keys() == plain.state_dict().keys()
