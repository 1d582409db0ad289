"""Reference and project of the speed benchmark give the same logits and gradients."""

from __future__ import annotations

import gc
import json
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import speed
import torch
from full_size import load_full_size
from measurement import Clock, count_operations, in_medium_precision, measure_alternately
from PIL import Image
from pipeline import pipeline_workloads
from reference import Reference
from startup import seconds_to_first_step, seconds_until_exit
from workloads import TrainingStep, Workloads

from monai_tunevlseg.methods import METHODS, Adapter
from monai_tunevlseg.networks import BaseModel, PromptTunedCLIPSeg

CPU = torch.device("cpu")
FEW_CLASSES = ["polyp", "lesion", "red circle"]
MEASURED = [*(("clipseg", method) for method in METHODS), ("sam3", "coop")]
"""VLSMs and methods that have a reference."""
OPTIONS = "--depth 2 --size 32 --batch 2 --device cpu"


@pytest.fixture(params=MEASURED, ids="_".join)
def workloads(request, tiny_bases) -> Workloads:
    """Reference and project of each method, with trainable parameters far from their initialization."""
    model, method = request.param
    base_model = load_full_size(model, tiny_bases)
    workloads = Workloads(model, base_model, method, depth=2, batch=2, size=32, device=CPU)
    torch.manual_seed(1)
    for ours, theirs in learned(workloads):
        ours.data.add_(torch.randn_like(ours) * 0.1)
        theirs.data.copy_(ours)
    return workloads


def learned(workloads: Workloads) -> list[tuple[torch.nn.Parameter, torch.nn.Parameter]]:
    """Pairs of a trainable parameter of the project's network and the same one of the reference."""
    return [
        (parameter, workloads.reference.get_parameter(re.sub("^base", "model", name)))
        for name, parameter in workloads.project.network.named_parameters()
        if parameter.requires_grad
    ]


def difference(workloads: Workloads) -> float:
    """Difference of the logits in float32."""
    return workloads.differences(["fp32"])["fp32"]


def test_logits_are_equal(workloads):
    assert difference(workloads) < 1e-5


@pytest.mark.parametrize("row", ["vpt", "sam3_coop"])
def test_bfloat16_differs_by_rounding_only(row, tiny_bases, capsys):
    """The worst pixel may differ by more than the tolerance, which is one on the norm."""
    words = f"--only {row} --repeats 1 --precision bf16 {OPTIONS} --bases {tiny_bases}"
    speed.SpeedTable(speed.parse_arguments(words.split())).run()
    assert "bf16" in capsys.readouterr().out


def test_networks_with_different_logits_are_not_timed(tiny_bases, monkeypatch):
    monkeypatch.setattr(Workloads, "differences", lambda workloads, precisions: dict.fromkeys(precisions, float("nan")))
    with pytest.raises(RuntimeError, match="nan.*clipseg.* vpt .*fp32"):
        speed.SpeedTable(speed.parse_arguments(f"--only vpt {OPTIONS} --bases {tiny_bases}".split())).run()


def test_the_tolerance_in_bfloat16_is_that_of_the_model(tiny_bases, monkeypatch):
    monkeypatch.setattr(Workloads, "differences", lambda workloads, precisions: {"fp32": 0.0, "bf16": 0.021})
    with pytest.raises(RuntimeError, match="differ by 2.1e-02: clipseg with vpt in bf16"):
        speed.SpeedTable(speed.parse_arguments(f"--only vpt {OPTIONS} --bases {tiny_bases}".split())).run()


def test_the_reference_of_sam3_refuses_methods_that_it_would_ignore(tiny_sam3):
    with pytest.raises(ValueError, match="vpt"):
        Workloads("sam3", tiny_sam3, "vpt", depth=2, batch=2, size=32, device=CPU)


@pytest.mark.parametrize("method", [name for name in METHODS if issubclass(METHODS[name], Adapter)])
def test_a_missing_adapter_is_noticed(method, tiny_clipseg):
    workloads = Workloads("clipseg", tiny_clipseg, method, depth=2, batch=2, size=32, device=CPU)
    updates = [theirs for ours, theirs in learned(workloads) if theirs.ndim == 2][1::2]  # each follows its W_down or A
    for update in updates:
        kept = update.detach().clone()
        update.data.zero_()
        assert difference(workloads) > speed.TOLERANCE["fp32"]
        update.data.copy_(kept)
    assert updates and difference(workloads) < speed.TOLERANCE["fp32"]


@pytest.mark.parametrize("workloads", [("clipseg", "vpt"), ("clipseg", "coop")], indirect=True, ids="_".join)
def test_swapped_contexts_are_noticed(workloads):
    assert difference(workloads) < speed.TOLERANCE["fp32"]
    contexts = [theirs for _, theirs in learned(workloads) if theirs.ndim == 3]  # (layers, num_context, width)
    for context in contexts:
        context.data.copy_(context.flip(0))
    assert contexts and difference(workloads) > speed.TOLERANCE["fp32"]


def test_logits_of_several_classes_are_equal(workloads):
    reference, project = (workload() for workload in workloads.inferences(FEW_CLASSES))
    assert reference.shape == (2, 3, 32, 32)
    torch.testing.assert_close(project, reference, rtol=1e-4, atol=1e-5)


def test_gradients_of_a_step_are_equal(workloads):
    check_gradients(workloads, workloads.training_steps())


@pytest.mark.parametrize("workloads", [("clipseg", "coop"), ("sam3", "coop")], indirect=True, ids="_".join)
def test_gradients_of_a_step_with_reused_features_are_equal(workloads, monkeypatch):
    steps = workloads.training_steps(cached=True)
    monkeypatch.setattr(workloads.project.network, "encode_image", None)
    check_gradients(workloads, steps)


def check_gradients(workloads: Workloads, steps: Iterable[TrainingStep]) -> None:
    """Run a step of each side, and compare the gradients."""
    for network in (workloads.reference, workloads.project.network):
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


def test_operations_of_fused_attention_are_counted():
    query, key = torch.randn(1, 2, 40, 16, requires_grad=True), torch.randn(1, 2, 30, 16)
    product = 2 * 2 * 40 * 30 * 16
    attend = torch.nn.functional.scaled_dot_product_attention
    assert count_operations(lambda: attend(query, key, key)) == 2 * product
    assert count_operations(lambda: attend(query, key, key).sum().backward()) == (2 + 5) * product


def test_medium_precision_ends_with_the_workload():
    def fail() -> None:
        raise ArithmeticError(torch.get_float32_matmul_precision())

    before = torch.get_float32_matmul_precision()
    assert before != "medium" == in_medium_precision(torch.get_float32_matmul_precision)()
    with pytest.raises(ArithmeticError, match="medium"):
        in_medium_precision(fail)()
    assert torch.get_float32_matmul_precision() == before


def test_workloads_are_measured_in_turn():
    runs: list[str] = []
    measured = measure_alternately([lambda: runs.append("a"), lambda: runs.append("b")], 2, Clock(CPU))
    assert runs == ["a", "b"] * 3  # the first round counts operations
    assert [len(each.seconds) for each in measured] == [2, 2]


@pytest.mark.parametrize("cpu_time", [False, True])
def test_clock(cpu_time):
    product = torch.randn(200, 200)
    assert 0 < Clock(CPU, cpu_time).seconds(lambda: product @ product) < 10


def test_table_has_the_requested_rows(tiny_bases, tmp_path, capsys):
    names = "vpt,coop,inference_1,sam3_coop,sam3_coop_cached,sam3_inference_1,sam3_inference_19"
    words = f"--only {names} --repeats 2 {OPTIONS} --bases {tiny_bases} --json {tmp_path / 'table.json'}"
    measured = speed.SpeedTable(speed.parse_arguments(words.split()))
    measured.run()
    stored = json.loads((tmp_path / "table.json").read_text())["tables"]
    assert [[row["workload"] for row in table] for table in stored] == [names.split(",")] * 2
    printed = capsys.readouterr().out
    assert "[min, max]" in " ".join(printed.split())
    table = printed.splitlines()
    for workload in names.split(","):
        rows = [line for line in table if line.startswith(f"│ {workload} ")]
        assert len(rows) == 2 and measured.target(workload) in rows[0]  # the second table has no targets


@pytest.mark.parametrize(("precision", "targets"), [("bf16", [">= 5", ">= 30"]), ("fp32", [">= 1.5", ">= 20"])])
def test_targets_are_those_of_the_precision(precision, targets):
    table = speed.SpeedTable(speed.parse_arguments(["--precision", precision, "--device", "cpu"]))
    assert [table.target(name) for name in ("vpt", "coop", "start")] == [*targets, ""]


def test_row_of_the_pipeline(tiny_bases, capsys):
    words = f"--only pipeline --images 2 --depth 2 --repeats 1 --device cpu --bases {tiny_bases}".split()
    speed.SpeedTable(speed.parse_arguments(words)).run()
    row = next(line for line in capsys.readouterr().out.splitlines() if "pipeline, 2 images" in line and "s [" in line)
    network, whole = (float(seconds) for seconds in re.findall(r"([\d.]+) s \[", row))
    assert 0 < network < whole


def test_pipeline_segments_every_image_on_both_sides(tiny_bases, tmp_path, monkeypatch):
    network, whole = pipeline_workloads(tiny_bases / "clipseg", tmp_path, 3, 2, "fp32", CPU)
    images: list[int] = []
    monkeypatch.setattr(PromptTunedCLIPSeg, "forward", counting(PromptTunedCLIPSeg.forward, images))
    for workload in (network, whole):
        images.clear()
        workload()
        assert sum(images) == 3
    for folder in ("masks", "overlays"):
        written = sorted((tmp_path / "output" / folder).iterdir())
        assert [path.name for path in written] == ["0.png", "1.png", "2.png"]
        assert {Image.open(path).size for path in written} == {(512, 512)}


def counting(forward: Callable[..., object], images: list[int]) -> Callable[..., object]:
    """Return a forward pass that notes its number of images."""

    def counted(network: object, image: torch.Tensor, *args: object, **kwargs: object) -> object:
        images.append(len(image))
        return forward(network, image, *args, **kwargs)

    return counted


def test_unknown_rows_are_refused(capsys):
    with pytest.raises(SystemExit):
        speed.parse_arguments(["--only", "vpt,sam3_vpt"])
    assert "unknown rows sam3_vpt" in capsys.readouterr().err


def test_rows_of_one_model_do_not_build_another(tiny_bases, tmp_path):
    (tmp_path / "clipseg").symlink_to(tiny_bases / "clipseg")
    speed.SpeedTable(speed.parse_arguments(f"--only vpt --repeats 1 {OPTIONS} --bases {tmp_path}".split())).run()
    assert [path.name for path in tmp_path.iterdir()] == ["clipseg"]


def test_rows_of_one_method_share_a_network_that_is_freed_before_the_next(tiny_bases, monkeypatch):
    alive: list[int] = []

    def load(name: str, bases: Path) -> BaseModel:
        gc.collect()
        alive.append(sum(isinstance(found, Reference) for found in gc.get_objects()))
        return load_full_size(name, bases)

    monkeypatch.setattr(speed, "load_full_size", load)
    words = f"--only sam3_coop_cached,sam3_inference_1,coop --repeats 1 {OPTIONS} --bases {tiny_bases}".split()
    speed.SpeedTable(speed.parse_arguments(words)).run()
    assert alive == [0, 0]


def test_memory_of_a_side_excludes_the_weights_of_the_other(tiny_bases, monkeypatch):
    alive: list[int] = []

    def count_references(workload: Callable[[], object], device: torch.device) -> tuple[int, int]:
        gc.collect()
        alive.append(sum(isinstance(found, Reference) for found in gc.get_objects()))
        return 2, 1

    monkeypatch.setattr(speed, "peak_memory", count_references)
    for side in speed.SIDES:
        words = f"--only sam3_coop_cached_memory --memory-of {side} {OPTIONS} --bases {tiny_bases}"
        speed.print_memory(speed.parse_arguments(words.split()))
    assert alive == [1, 0]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_rows(tiny_bases, capsys, monkeypatch):
    words = f"--only sam3_coop_cached_memory {OPTIONS} --bases {tiny_bases}".split()
    monkeypatch.setattr(sys, "argv", ["speed.py", *words])
    speed.SpeedTable(speed.parse_arguments(words)).run()
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("│ sam3_coop_cached_memory")]
    assert [int(megabytes) > 0 for row in rows for megabytes in re.findall(r"(\d+) MiB", row)] == [True] * 4


def test_seconds_to_first_step(tiny_clipseg_dir):
    assert 1 < seconds_to_first_step(tiny_clipseg_dir, starts=1, prompt_depth=2) < 600


def test_run_that_exits_before_its_first_step(tmp_path):
    with pytest.raises(RuntimeError, match="(?s) 1 .*no such base"):
        seconds_until_exit([sys.executable, "-c", "raise SystemExit('no such base')"], tmp_path / "log")
