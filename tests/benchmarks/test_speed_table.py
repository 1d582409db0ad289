"""Reference and project of the speed benchmark give the same logits and gradients."""

from __future__ import annotations

import re
import sys

import pytest
import speed
import torch
from measurement import Clock, count_operations
from startup import seconds_to_first_step, seconds_until_exit
from workloads import Workloads

from monai_tunevlseg.methods import METHODS, Adapter

CPU = torch.device("cpu")
FEW_CLASSES = ["polyp", "lesion", "red circle"]


@pytest.fixture(params=list(METHODS))
def workloads(request, tiny_clipseg) -> Workloads:
    """Reference and project of each method, with trainable parameters far from their initialization."""
    workloads = Workloads(tiny_clipseg, request.param, depth=2, batch=2, size=32, device=CPU)
    torch.manual_seed(1)
    for ours, theirs in learned(workloads):
        ours.data.add_(torch.randn_like(ours) * 0.1)
        theirs.data.copy_(ours)
    return workloads


def learned(workloads: Workloads) -> list[tuple[torch.nn.Parameter, torch.nn.Parameter]]:
    """Pairs of a trainable parameter of the project's network and the same one of the reference."""
    return [
        (parameter, workloads.reference.get_parameter(re.sub("^base", "model", name)))
        for name, parameter in workloads.network.named_parameters()
        if parameter.requires_grad
    ]


def test_logits_are_equal(workloads):
    assert workloads.difference() < 1e-5


def test_bfloat16_differs_by_rounding_only(tiny_clipseg_dir, capsys):
    """The worst pixel may differ by more than the tolerance, which is one on the norm."""
    words = (
        f"--only vpt --repeats 1 --depth 2 --size 32 --batch 2 --device cpu --precision bf16 --base {tiny_clipseg_dir}"
    )
    speed.SpeedTable(speed.parse_arguments(words.split())).run()
    assert "bf16" in capsys.readouterr().out


def test_networks_with_different_logits_are_not_timed(tiny_clipseg_dir, monkeypatch):
    monkeypatch.setattr(Workloads, "difference", lambda workloads: float("nan"))
    words = f"--only vpt --depth 2 --size 32 --batch 2 --device cpu --base {tiny_clipseg_dir}"
    with pytest.raises(RuntimeError, match="nan.* vpt .*fp32"):
        speed.SpeedTable(speed.parse_arguments(words.split())).run()


@pytest.mark.parametrize("method", [name for name in METHODS if issubclass(METHODS[name], Adapter)])
def test_a_missing_adapter_is_noticed(method, tiny_clipseg):
    workloads = Workloads(tiny_clipseg, method, depth=2, batch=2, size=32, device=CPU)
    updates = [theirs for ours, theirs in learned(workloads) if theirs.ndim == 2][1::2]  # each follows its W_down or A
    for update in updates:
        kept = update.detach().clone()
        update.data.zero_()
        assert workloads.difference() > speed.TOLERANCE["fp32"]
        update.data.copy_(kept)
    assert updates and workloads.difference() < speed.TOLERANCE["fp32"]


def test_logits_of_several_classes_are_equal(workloads):
    reference, project = (workload() for workload in workloads.inferences(FEW_CLASSES))
    assert reference.shape == (2, 3, 32, 32)
    torch.testing.assert_close(project, reference, rtol=1e-4, atol=1e-5)


def test_gradients_of_a_step_are_equal(workloads):
    steps = workloads.training_steps()
    for network in (workloads.reference, workloads.network):
        network.eval()  # dropout is random
    for step in steps:
        step()  # the optimizer updates the weights and keeps the gradients
    for ours, theirs in learned(workloads):
        assert ours is not theirs and ours.grad.any()
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-6)


def test_operations_are_counted_forward_and_backward():
    weight, rows = torch.randn(3, 5, requires_grad=True), torch.randn(7, 5)
    forward = 2 * 7 * 5 * 3
    assert count_operations(lambda: rows @ weight.T) == forward
    assert count_operations(lambda: (rows @ weight.T).sum().backward()) == 2 * forward


@pytest.mark.parametrize("cpu_time", [False, True])
def test_clock(cpu_time):
    product = torch.randn(200, 200)
    assert 0 < Clock(CPU, cpu_time).seconds(lambda: product @ product) < 10


def test_table_has_the_requested_rows(tiny_clipseg_dir, capsys):
    words = (
        f"--only vpt,coop,inference_1 --repeats 2 --depth 2 --size 32 --batch 2 --device cpu --base {tiny_clipseg_dir}"
    )
    speed.SpeedTable(speed.parse_arguments(words.split())).run()
    table = capsys.readouterr().out.splitlines()
    for workload, target in (("vpt", ">= 3"), ("coop", ">= 15"), ("inference_1", ">= 3")):
        assert any(line.startswith("│") and workload in line and target in line for line in table)


def test_seconds_to_first_step(tiny_clipseg_dir):
    assert 1 < seconds_to_first_step(tiny_clipseg_dir, starts=1, prompt_depth=2) < 600


def test_run_that_exits_before_its_first_step(tmp_path):
    with pytest.raises(RuntimeError, match="(?s) 1 .*no such base"):
        seconds_until_exit([sys.executable, "-c", "raise SystemExit('no such base')"], tmp_path / "log")
