"""The check of a GPU: its steps fit the repository, and its report tells what failed."""

from __future__ import annotations

import json
import re
import sys
import time
from importlib import metadata
from pathlib import Path

import check_gpu
import pytest
import speed
from check_gpu import ROOT, Step, check_steps, parse_arguments, run_all, run_step, shared_device, speed_steps
from monai.bundle import ConfigParser
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

MINUTE = 60
MACHINE = {"extra": "", "python_version": "3.12", "python_full_version": "3.12.3"}
PRESENT = ("scikit-learn", "matplotlib", "tensorboard", "opencv-python-headless", "tifffile", "pyyaml", "attrs", "tqdm")
"""On machines for computations with PyTorch, besides PyTorch, transformers and peft."""


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def result(step: Step, seconds: float = MINUTE, device: str = "cpu") -> dict:
    return run_step(step, device, time.monotonic() + seconds)


def test_commands_run_in_the_repository_one_after_the_other(tmp_path):
    table = tmp_path / "table.json"
    write = f"import os, pathlib; pathlib.Path({str(table)!r}).write_text('[1]'); print(os.getcwd())"
    passed = result(Step([python(write), python("print('second')")], table=table))
    assert (passed["result"], passed["exit_code"], passed["table"]) == ("passed", 0, [1])
    assert passed["output"] == "second\n"


@pytest.mark.parametrize(("may_fail", "outcome"), [(False, "failed"), (True, "failed, which is allowed")])
def test_the_first_failure_ends_a_step(may_fail, outcome, tmp_path):
    later = tmp_path / "later"
    commands = [python("raise SystemExit('no such operator')"), python(f"open({str(later)!r}, 'w')")]
    failed = result(Step(commands, may_fail=may_fail))
    assert (failed["result"], failed["exit_code"]) == (outcome, 1)
    assert "no such operator" in failed["output"]
    assert not later.exists()


def test_a_step_without_its_gpu_or_without_time_does_not_run():
    never = Step([["no such program"]], needs_cuda=True)
    assert result(never) == {"result": "needs a GPU"}
    assert result(never, seconds=-1, device="cuda") == {"result": "no time left"}


def test_a_step_is_killed_at_its_deadline_with_its_children():
    child = "import time; print('started', flush=True); time.sleep(600)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    started = time.monotonic()
    killed = result(Step([python(parent)]), seconds=1)
    assert killed["result"] == "failed" and killed["exit_code"] < 0
    assert time.monotonic() - started < 100


def test_the_report_names_what_failed(tmp_path, monkeypatch):
    steps = {"good": Step([python("")]), "bad": Step([python("raise SystemExit(3)")])}
    monkeypatch.setattr(check_gpu, "check_steps", lambda folder, device: steps)
    monkeypatch.setattr(check_gpu, "speed_steps", lambda folder, device: {"gpu": Step([[]], needs_cuda=True)})
    report = run_all(parse_arguments(["--device", "cpu"]))
    assert {name: step["result"] for name, step in report["steps"].items()} == {
        "good": "passed",
        "bad": "failed",
        "gpu": "needs a GPU",
    }
    assert report["passed"] is False and report["machine"]["torch"]
    assert run_all(parse_arguments(["--device", "cpu", "--only", "good"]))["passed"] is True


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_steps_name_files_and_options_that_exist(device, tmp_path):
    commands = [command for step in check_steps(tmp_path, device).values() for command in step.commands]
    words = [word for command in commands for word in command]
    assert all((ROOT / word.split("::")[0]).is_file() for word in words if word.startswith("tests/"))
    configs = {path for word in words for path in re.findall(r"'([^']+\.(?:yaml|json))'", word)}
    assert len(configs) == 5 and all(Path(path).is_file() for path in configs)
    for step in speed_steps(tmp_path, device).values():
        ((_, script, *options),) = step.commands
        parsed = speed.parse_arguments(options)
        assert (ROOT / script).is_file() and parsed.json == step.table and parsed.device == device


def test_processes_share_a_device(tmp_path):
    overlay = tmp_path / "overlay.json"
    overlay.write_text(json.dumps(shared_device("gloo")))
    merged = ConfigParser.load_config_files([check_gpu.OVERLAY, overlay])
    assert merged["network"]["device_ids"] is None and "DistributedDataParallel" in merged["network"]["_target_"]
    assert "$dist.init_process_group('gloo')" in merged["initialize"] and "nccl" not in str(merged["initialize"])


def dependencies(*names: str) -> set[str]:
    """The normalized names of installed distributions and of everything that they require."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in found:
            continue
        found.add(name)
        for line in metadata.requires(name) or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate(MACHINE):
                waiting.append(requirement.name)
    return found


def test_every_package_that_the_machine_lacks_travels_in_a_pinned_version():
    pinned = re.findall(r"^([\w.-]+)==", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    travelling = set((ROOT / "benchmarks" / "gpu_requirements.txt").read_text().split())
    assert travelling and travelling <= set(map(canonicalize_name, pinned))
    present = dependencies("torch", *PRESENT)
    assert (
        dependencies("monai_tunevlseg") - {"monai-tunevlseg"} - dependencies("transformers", "peft") - present
        <= travelling
    )
    assert dependencies(*travelling) - present <= travelling
