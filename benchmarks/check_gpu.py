"""Check the package on a GPU: contract suites, training runs and the table of speed, in one JSON file.

python benchmarks/check_gpu.py [--output gpu_check.json] [--device cuda] [--minutes 6] [--only contract,speed]

Each step runs in processes of its own, the training runs with the embedded CLIPSeg on synthetic images. Without a GPU
(``--device cpu``), steps that need one are left out, and the table has tiny images.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from monai_tunevlseg.bundle_processes import bundle_command
from monai_tunevlseg.data.demo_datasets import write_demo_dataset

__all__ = ["Step", "check_steps", "run_step", "speed_steps"]

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = [ROOT / "bundles/clipseg_vpt/configs/train.yaml", ROOT / "configs/ultrasound/clipseg_vpt.yaml"]
OVERLAY = ROOT / "bundles/clipseg_vpt/configs/multi_gpu_train.yaml"
CONTRACT = (
    "tests/methods/test_method_contract.py",
    "tests/networks/test_network_contract.py",
    "tests/networks/test_compilation.py",
    "tests/test_segmenter_features.py",
    "tests/test_segmenter.py::test_devices_and_their_precisions_agree",
)
SPEED_ROWS = "vpt,maple,shared_attention,shared_separate,lora,coop,cocoop,inference_1,inference_19,memory"
ROWS_OF_MANY = "vpt,lora,coop,inference_1,memory"
"""For 32 images, and again in bfloat16."""
TOGETHER = 4
"""Steps that run at the same time; those that measure time run alone, after all others."""
KEPT_OUTPUT = 20_000
"""Characters of a step's output in the JSON file, from its end."""


@dataclass(frozen=True)
class Step:
    """Commands that run one after the other, each only if the one before has succeeded.

    Attributes:
        commands: programs with their arguments.
        needs_cuda: whether the step is left out without a GPU.
        may_fail: whether a failure is only recorded, because not every machine supports the step.
        table: JSON file that the commands write for the report, or None.
    """

    commands: list[list[str]]
    needs_cuda: bool = False
    may_fail: bool = False
    table: Path | None = None


def check_steps(folder: Path, device: str) -> dict[str, Step]:
    """Return the steps that check results, by name.

    Args:
        folder: gets the dataset and the results of runs.
        device: device of the contract suites and of training.
    """
    dataset = write_demo_dataset("ultrasound", folder / "data", num_images=40)

    def train(name: str, epochs: int = 2, overlays: Sequence[Path] = (), **overrides: object) -> list[str]:
        run = folder / name
        places = {"bundle_root": run, "ckpt_dir": run / "models", "output_dir": run / "eval", "dataset_dir": dataset}
        given = places | {"epochs": epochs, "device": device} | overrides
        return bundle_command([*CONFIGS, *overlays], given)

    def in_two_processes(backend: str) -> list[str]:
        name = f"two_processes_{backend}"
        overlay = folder / f"{name}.json"
        overlay.write_text(json.dumps(shared_device(backend)), encoding="utf-8")
        command = train(name, overlays=(OVERLAY, overlay), batch_size=4)
        return [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", *command[1:]]

    demo = [sys.executable, "-m", "monai_tunevlseg", "demo", "--output-dir", str(folder / "demo")]
    options = ["-n", "auto", "--maxprocesses=12", "-p", "no:cacheprovider", f"--device={device}", "--tb=short"]
    tests = [sys.executable, "-m", "pytest", *options, *CONTRACT]
    return {
        "contract": Step([tests]),
        "demo": Step([demo], needs_cuda=True),
        "train_fp16_amp": Step([train("fp16_amp", precision="fp16-amp")], needs_cuda=True),
        "train_bf16_and_resume": Step(
            [train("bf16", precision="bf16"), train("bf16", epochs=3, precision="bf16", resume=True)]
        ),
        "train_compiled": Step([train("compiled", compile=True)]),
        "two_processes_gloo": Step([in_two_processes("gloo")]),
        # NCCL refuses two processes on one GPU unless it is cut into parts
        "two_processes_nccl": Step([in_two_processes("nccl")], needs_cuda=True, may_fail=True),
    }


def shared_device(backend: str) -> dict[str, Any]:
    """Return an overlay over ``multi_gpu_train.yaml`` for processes that share the device of ``--device``.

    Args:
        backend: backend of ``torch.distributed``.
    """
    return {
        "+network": {"device_ids": None},
        "initialize": [
            "$hyperparameters.prepare_run()",
            f"$dist.init_process_group('{backend}')",
            "$monai.utils.set_determinism(seed=@seed)",
        ],
    }


def speed_steps(folder: Path, device: str) -> dict[str, Step]:
    """Return the steps that measure time, by name.

    Args:
        folder: gets the base models and the tables.
        device: device of the workloads.
    """
    size = [] if device != "cpu" else ["--size", "32", "--depth", "2", "--repeats", "1"]

    def speed(name: str, rows: str, *arguments: str) -> Step:
        table = folder / f"{name}.json"
        command = [sys.executable, "benchmarks/speed.py", "--device", device, "--bases", str(folder / "bases"), *size]
        return Step([[*command, "--only", rows, "--json", str(table), *arguments]], table=table)

    many = "speed_batch_32"
    return {
        "speed": speed("speed", SPEED_ROWS),
        many: speed(many, ROWS_OF_MANY, "--batch", "32"),
        f"{many}_bf16": speed(f"{many}_bf16", ROWS_OF_MANY, "--batch", "32", "--precision", "bf16"),
    }


def run_step(step: Step, device: str, deadline: float) -> dict[str, Any]:
    """Run a step until its end or the deadline.

    Args:
        step: the step.
        device: device that the steps use.
        deadline: time of ``time.monotonic`` at which the step is killed.

    Returns:
        entries for the report: ``result`` is "passed", "failed", "failed, which is allowed", or the reason why the
        step did not run.
    """
    if step.needs_cuda and not device.startswith("cuda"):
        return {"result": "needs a GPU"}
    if time.monotonic() >= deadline:
        return {"result": "no time left"}
    started, code, output = time.monotonic(), 0, ""
    for command in step.commands:
        code, output = run_command(command, deadline - time.monotonic())
        if code:
            break
    passed = "passed" if code == 0 else "failed, which is allowed" if step.may_fail else "failed"
    entries = {"result": passed, "exit_code": code, "seconds": round(time.monotonic() - started, 1)}
    if step.table and step.table.is_file():
        entries["table"] = json.loads(step.table.read_text(encoding="utf-8"))
    return entries | {"output": output[-KEPT_OUTPUT:]}


def run_command(command: Sequence[str], seconds: float) -> tuple[int, str]:
    """Run a command in the repository, and kill it and its children after some seconds; return exit code and output."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
        try:
            code = process.wait(max(seconds, 0))
        except subprocess.TimeoutExpired:
            code = -signal.SIGKILL
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        log.seek(0)
        return code, log.read()


def machine(device: str) -> dict[str, str]:
    """Return the device, and the versions of what the steps use."""
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.processor()
    versions = {module.__name__: module.__version__ for module in (torch, transformers)}
    return {"device": f"{device} {name}".strip(), "python": platform.python_version(), **versions}


def run_all(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the steps, and return the report."""
    deadline = time.monotonic() + 60 * arguments.minutes
    with tempfile.TemporaryDirectory() as name:
        checks, timed = check_steps(Path(name), arguments.device), speed_steps(Path(name), arguments.device)
        wanted = arguments.only or [*checks, *timed]

        def run(named: Mapping[str, Step], workers: int) -> dict[str, Any]:
            chosen = [each for each in named if each in wanted]
            with ThreadPoolExecutor(workers) as pool:
                results = pool.map(lambda each: run_step(named[each], arguments.device, deadline), chosen)
                return dict(zip(chosen, results, strict=True))

        steps = run(checks, TOGETHER) | run(timed, 1)
    unfinished = [name for name, step in steps.items() if step["result"] in ("failed", "no time left")]
    return {"passed": not unfinished, "machine": machine(arguments.device), "steps": steps}


def parse_arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("gpu_check.json"), help="JSON file for the report")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--minutes", type=float, default=5.5, help="time after which unfinished steps are killed")
    parser.add_argument("--only", type=lambda text: text.split(","), help="names of steps, separated by commas")
    return parser.parse_args(words)


def main() -> int:
    """Run the steps, write the report, and return the exit code."""
    arguments = parse_arguments()
    report = run_all(arguments)
    arguments.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    for name, step in report["steps"].items():
        sys.stdout.write(f"{name}: {step['result']} {step.get('seconds', '')}\n")
    return 0 if report["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
