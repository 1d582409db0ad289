"""``torch.compile``: equal results, and no change of a shared base model."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial

import pytest
import torch
from network_cases import CASES, every_network
from tiny_methods import tiny_arguments

from monai_tunevlseg.networks import PromptTunedNetwork, compile_layers

CASE_OF = {case.vlsm: case for case in reversed(CASES)}
"""The first case of each VLSM."""
needs_a_compiler = pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")


def method_of(case) -> str:
    """Return a prompt learner that prompts both encoders, if the VLSM has one."""
    return "maple" if "maple" in case.methods else "cocoop"


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
    case = CASE_OF["clipseg"]
    expected = logits_and_gradients(build(case, "maple"), pictures(case))
    actual = logits_and_gradients(compile_layers(build(case, "maple")), pictures(case))
    assert len(expected) > 1
    torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-5)


@needs_a_compiler
@pytest.mark.parametrize("method", ["cocoop", "lora"])
def test_so_they_do_in_cris(method, build, pictures):
    case = CASE_OF["cris"]
    plain, compiled = (build(case, method, **tiny_arguments(method)) for _ in range(2))
    with torch.no_grad():
        for own, other in zip(plain.parameters(), compiled.parameters(), strict=True):
            if own.requires_grad:  # an update that is zero would be equal in any case
                other.copy_(own.normal_(std=0.1))
        expected = plain.eval()(pictures(case))
        actual = compile_layers(compiled).eval()(pictures(case))
    torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-5)


@pytest.fixture
def compiled_reads(monkeypatch) -> set[int]:
    """Addresses of all tensors that compiled code reads; a plain interpreter takes the place of torch's compiler."""
    addresses: set[int] = set()

    def interpret(graph: torch.fx.GraphModule, _: list) -> Callable:
        def run(*tensors):
            addresses.update(each.data_ptr() for each in tensors if isinstance(each, torch.Tensor))
            return graph.forward(*tensors)

        return run

    torch._dynamo.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=interpret))
    return addresses


@pytest.mark.parametrize("case", CASE_OF.values(), ids=CASE_OF)  # the capture of a network takes seconds
def test_compiled_code_runs_all_repeated_layers(case, build, pictures, compiled_reads):
    plain, compiled = build(case, "coop").eval(), build(case, "coop").eval()
    image = pictures(case, 1)
    used = used_parameters(plain, image)
    with torch.no_grad():
        expected, actual = plain(image), compile_layers(compiled)(image)
    torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-5)
    for name in compiled.repeated_layers:
        for parameter_name, parameter in compiled.base.get_submodule(name).named_parameters():
            address = parameter.data_ptr()
            assert address in compiled_reads or address not in used, f"{name}.{parameter_name}"


def used_parameters(network: PromptTunedNetwork, image: torch.Tensor) -> set[int]:
    """Return the addresses of the base model's parameters that affect logits; its last layers may not."""
    parameters = {name: parameter.detach().requires_grad_() for name, parameter in network.named_parameters()}
    logits = torch.func.functional_call(network, parameters, (image,))
    gradients = torch.autograd.grad(logits.sum(), list(parameters.values()), allow_unused=True)
    return {
        each.data_ptr() for each, gradient in zip(parameters.values(), gradients, strict=True) if gradient is not None
    }


@every_network
def test_all_layers_are_compiled_and_the_base_model_stays_as_it_is(case, build):
    method = method_of(case)
    network, other = (build(case, method, **tiny_arguments(method)) for _ in range(2))
    functions = [getattr(network, name) for name in network.layer_functions]
    compile_layers(network)
    parents = {name.rpartition(".")[0] for name in compiled_modules(network)}
    assert parents == set(network.repeated_layers)
    assert not compiled_modules(other)
    assert functions == [getattr(other, name) for name in network.layer_functions]
    assert next(network.base.parameters()) is next(other.base.parameters())  # the weights are shared


@every_network
def test_checkpoints_fit_whether_compiled_or_not(case, build):
    method = method_of(case)
    plain, other = (build(case, method, seed=seed, **tiny_arguments(method)) for seed in (1, 2))
    compiled = compile_layers(other)
    compiled.load_state_dict(plain.state_dict())
    plain.load_state_dict(compiled.state_dict())
    assert compiled.state_dict().keys() == plain.state_dict().keys()
