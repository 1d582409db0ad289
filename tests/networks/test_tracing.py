"""TorchScript's trace of a network: sizes, errors and results."""

from __future__ import annotations

import io
import warnings

import pytest
import torch
from network_cases import every_combination, every_network
from tiny_methods import tiny_arguments


def traced(network, image: torch.Tensor) -> torch.jit.ScriptModule:
    """Trace, save and load a network, like an export."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer points out every constant
        made = torch.jit.trace(network.eval(), image, check_trace=False)
    stream = io.BytesIO()
    torch.jit.save(made, stream)
    stream.seek(0)
    return torch.jit.load(stream)


@every_combination
def test_other_sizes_give_the_networks_logits_or_are_refused(case, method, build, pictures):
    network = build(case, method, **tiny_arguments(method))
    script = traced(network, pictures(case, 1))
    with torch.no_grad():
        for rows, columns in ((2, 2), (1, 3)):
            image = pictures(case, 2, rows * case.divisor, columns * case.divisor)
            torch.testing.assert_close(script(image), network(image), rtol=1e-4, atol=1e-4)
    for height, width in ((case.size + 4, case.size), (case.size, case.size - 1), (case.size + 4, case.size + 4)):
        with pytest.raises(torch.jit.Error, match=f"{height}x{width}"):
            script(torch.zeros(1, 3, height, width))


@every_network
def test_low_rank_updates_are_traced_in_every_part(case, build, pictures):
    sites = build(case).adapter_sites()
    parts = [part for part in ("vision", "text", "decoder") if getattr(sites, part)]
    network = build(case, "lora", adapted_parts=parts, lora_rank=2, lora_mlp=True)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.randn_like(parameter)
        script, image = traced(network, pictures(case, 1)), pictures(case, 2)
        torch.testing.assert_close(script(image), network(image), rtol=1e-4, atol=1e-4)


@every_network
def test_a_scripted_network_is_a_trace_in_evaluation_mode(case, build, pictures, tmp_path):
    network = build(case, "coop", **tiny_arguments("coop")).train()
    torch.jit.script(network).save(str(tmp_path / "model.ts"))
    assert network.training
    scripted = torch.jit.load(tmp_path / "model.ts")
    with torch.no_grad():
        wanted = network.eval()(pictures(case, 3))
        assert wanted.std() > 0
        torch.testing.assert_close(scripted(pictures(case, 3)), wanted, rtol=1e-4, atol=1e-4)
    height = case.size + 4
    with pytest.raises(torch.jit.Error, match=f"{height}x{case.size}"):
        scripted(torch.zeros(1, 3, height, case.size))


@every_network
@pytest.mark.parametrize(("rows", "columns"), [(4, 0), (0, 5), (-1, -1)])
def test_the_network_itself_refuses_the_same_sizes(case, rows, columns, build):
    height, width = case.size + rows, case.size + columns
    with pytest.raises(ValueError, match=rf"{height}x{width}\b.*\b{case.divisor}\b"):
        build(case)(torch.zeros(1, 3, height, width))
