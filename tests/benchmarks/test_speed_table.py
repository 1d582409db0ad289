"""The benchmarks compare like with like: reference and project give the same logits and gradients."""

from __future__ import annotations

import sys

import pytest
import speed
import torch
from comparisons import Contest
from measuring import Clock, count_operations
from starting import seconds_to_first_step, seconds_until_exit

from monai_tunevlseg.methods import METHODS

CPU = torch.device("cpu")
FEW_CLASSES = ["polyp", "lesion", "red circle"]


@pytest.fixture(params=list(METHODS))
def contest(request, tiny_clipseg) -> Contest:
    """Both sides of each method, with learned parts far from their start so that each of them shows."""
    contest = Contest(tiny_clipseg, request.param, depth=2, batch=2, size=32, device=CPU)
    torch.manual_seed(1)
    for ours, theirs in zip(learned(contest.network), learned(contest.plain), strict=True):
        ours.data.add_(torch.randn_like(ours) * 0.1)
        theirs.data.copy_(ours)
    return contest


def learned(network: torch.nn.Module) -> list[torch.nn.Parameter]:
    return [p for part in (network.method, network.upsampler) for p in part.parameters()]


def test_both_sides_give_the_same_logits(contest):
    assert contest.difference() < 1e-5


def test_bfloat16_differs_by_rounding_and_the_table_is_made(tiny_clipseg_dir, capsys):
    """Where the tolerance looked at the worst pixel, processors with bfloat16 had no table."""
    words = (
        f"--only vpt --repeats 1 --depth 2 --size 32 --batch 2 --device cpu --precision bf16 --base {tiny_clipseg_dir}"
    )
    speed.Benchmark(speed.parse_arguments(words.split())).run()
    assert "bf16" in capsys.readouterr().out


def test_a_network_that_computes_something_else_is_not_timed(tiny_clipseg_dir, monkeypatch):
    monkeypatch.setattr(Contest, "difference", lambda contest: float("nan"))
    words = f"--only vpt --depth 2 --size 32 --batch 2 --device cpu --base {tiny_clipseg_dir}"
    with pytest.raises(RuntimeError, match="differ by nan with vpt in fp32; nothing was timed"):
        speed.Benchmark(speed.parse_arguments(words.split())).run()


def test_both_sides_segment_by_several_classes_alike(contest):
    reference, project = (work() for work in contest.inferences(FEW_CLASSES))
    assert reference.shape == (2, 3, 32, 32)
    torch.testing.assert_close(project, reference, rtol=1e-4, atol=1e-5)


def test_a_step_of_both_sides_gives_the_same_gradients(contest):
    steps = contest.training_steps()
    for network in (contest.plain, contest.network):
        network.method.eval()  # dropout of shared_attention draws numbers
    for step in steps:
        step()  # the optimizer moves the weights and leaves the gradients
    for ours, theirs in zip(learned(contest.network), learned(contest.plain), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-6)


def test_operations_are_counted_forward_and_backward():
    weight, rows = torch.randn(3, 5, requires_grad=True), torch.randn(7, 5)
    forward = 2 * 7 * 5 * 3
    assert count_operations(lambda: rows @ weight.T) == forward
    assert count_operations(lambda: (rows @ weight.T).sum().backward()) == 2 * forward


@pytest.mark.parametrize("cpu_time", [False, True])
def test_a_clock_measures_what_passes(cpu_time):
    product = torch.randn(200, 200)
    assert 0 < Clock(CPU, cpu_time).seconds(lambda: product @ product) < 10


def test_the_table_has_a_row_for_each_work_that_was_asked_for(tiny_clipseg_dir, capsys):
    words = (
        f"--only vpt,coop,inference_1 --repeats 2 --depth 2 --size 32 --batch 2 --device cpu --base {tiny_clipseg_dir}"
    )
    speed.Benchmark(speed.parse_arguments(words.split())).run()
    table = capsys.readouterr().out.splitlines()
    for work, wanted in (("vpt", ">= 3"), ("coop", ">= 15"), ("inference_1", ">= 3")):
        assert any(line.startswith("│") and work in line and wanted in line for line in table)


def test_a_start_of_a_run_is_measured_until_its_first_step(tiny_clipseg_dir):
    assert 1 < seconds_to_first_step(tiny_clipseg_dir, starts=1, prompt_depth=2) < 600


def test_a_run_that_ends_before_its_first_step_is_an_error(tmp_path):
    with pytest.raises(RuntimeError, match="ended with 1 before its first step: no such base"):
        seconds_until_exit([sys.executable, "-c", "raise SystemExit('no such base')"], tmp_path / "log")
