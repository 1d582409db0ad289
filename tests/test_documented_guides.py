"""The commands of the pages about volumes, clusters and new folders, run unchanged but for places and sizes."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from ast import literal_eval
from pathlib import Path

import monai.bundle
import nibabel as nib
import numpy as np
import pytest
import torch
import yaml
from documentation import ROOT, block, lines
from owners_trees import write_kvasir
from typer.testing import CliRunner

from monai_tunevlseg.__main__ import app
from monai_tunevlseg.demo import demo_model

QUICK = {"pretrained": str(demo_model()), "prompt_depth": 2, "epochs": 1, "batch_size": 4, "num_workers": 0}
SLURM_TEST = {"SLURM_JOB_NODELIST": "node", "SLURM_JOB_NUM_NODES": "1", "SLURM_GPUS_ON_NODE": "2", "SLURM_JOB_ID": "7"}
SLURM_TEST |= {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NTASKS": "1"}
PROGRAMS = {
    "srun": 'exec "$@"',
    "scontrol": "echo localhost",
    "torchrun": f'exec {sys.executable} -m torch.distributed.run "$@"',
    "tunevlseg": f'exec {sys.executable} -m monai_tunevlseg "$@"',
}
"""Slurm's programs on one node, and those of an environment."""


def as_options(values: dict[str, object]) -> str:
    return " ".join(f"--{name} {value}" for name, value in values.items())


def run_bundle(line: str, **changes: object) -> None:
    """Run a documented ``python -m monai.bundle run`` in this process, with its values read as fire reads them."""
    words = shlex.split(line)
    assert words[:4] == ["python", "-m", "monai.bundle", "run"]
    options = dict(zip([word.removeprefix("--") for word in words[4::2]], words[5::2], strict=True))
    for name, value in options.items():
        try:
            options[name] = literal_eval(value)
        except (SyntaxError, ValueError):
            options[name] = value
    monai.bundle.run(**{**options, **changes})


def write_volumes(folder: Path) -> None:
    """Write ten CT volumes with a bright cube in Hounsfield units."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for number in range(10):
        mask = np.zeros((24, 20, 6), np.uint8)
        mask[4 + number : 12 + number, 5:14, 1:5] = 1
        for name, values in (("images", mask * 200.0 - 100), ("masks", mask)):
            nib.save(nib.Nifti1Image(values.astype(np.int16), np.eye(4)), folder / name / f"{number}.nii")


def test_commands_for_volumes_run(tmp_path):
    data = tmp_path / "data"
    write_volumes(data)
    train, evaluate, infer = lines("volumes")
    of_network = {name: QUICK[name] for name in ("pretrained", "prompt_depth", "num_workers")}
    places = {"bundle_root": str(tmp_path), "device": "cpu"}
    run_bundle(train, **QUICK, **places, dataset_dir=str(data))
    run_bundle(evaluate, **of_network, **places, dataset_dir=str(data))
    run_bundle(infer, **of_network, **places, dataset_dir=str(data / "images"))
    assert "volumes" in json.loads((tmp_path / "eval" / "metrics.json").read_text())
    masks = list((tmp_path / "output" / "masks").iterdir())
    assert len(masks) == 10 and nib.load(masks[0]).shape == (24, 20, 6)


@pytest.fixture
def programs(tmp_path) -> Path:
    folder = tmp_path / "programs"
    folder.mkdir()
    for name, text in PROGRAMS.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    return folder


def run_script(text: str, programs: Path, **environment: str) -> None:
    """Run a batch script as Slurm does: with bash, in the folder of submission, without arguments."""
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"} | environment
    finished = subprocess.run(["bash", "-c", text], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr[-3000:]


@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="this PyTorch has no gloo")
def test_the_slurm_script_trains_in_two_processes_and_continues(tmp_path, programs):
    stems = sorted(write_kvasir(tmp_path / "data"))
    splits = {"train": stems[:8], "val": stems[8:10], "test": stems[10:]}
    (tmp_path / "splits.json").write_text(json.dumps(splits))
    quick = QUICK | {"effective_batch_size": 8, "splits_file": tmp_path / "splits.json"}
    script = block("slurm training").replace("runs/kvasir", str(tmp_path / "run")).rstrip()
    script = f"{script} {as_options(quick)}"
    run_script(script, programs, DATA=str(tmp_path / "data"), **SLURM_TEST)
    last = torch.load(tmp_path / "run" / "models" / "last.pt", weights_only=True)
    run_script(script.replace("--epochs 1", "--epochs 2"), programs, DATA=str(tmp_path / "data"), **SLURM_TEST)
    resumed = torch.load(tmp_path / "run" / "models" / "last.pt", weights_only=True)
    assert (last["epoch"], resumed["epoch"]) == (1, 2)


def test_the_slurm_worker_joins_the_study_of_the_storage(tmp_path, programs):
    write_kvasir(tmp_path / "data")
    (tmp_path / ".tunevlseg-storage").write_text(f"export TUNEVLSEG_STORAGE=sqlite:///{tmp_path}/study.db\n")
    quick = " ".join(f"--override {name}={value}" for name, value in QUICK.items() if name != "prompt_depth")
    script = block("slurm study").replace("runs/search/kvasir/clipseg_vpt", str(tmp_path / "found")).rstrip()
    script = f"{script} {quick}".replace("--n-trials 40", "--n-trials 1")
    run_script(script, programs, HOME=str(tmp_path), DATA=str(tmp_path / "data"))
    assert (tmp_path / "study.db").is_file()
    assert (tmp_path / "found" / "best" / "models" / "model.pt").is_file()


def container(marker: str) -> dict:
    """Return the only container of the Job in a documented manifest."""
    jobs = [part for part in yaml.safe_load_all(block(marker)) if part["kind"] == "Job"]
    ((found,),) = (job["spec"]["template"]["spec"]["containers"] for job in jobs)
    return found


def documented_command(marker: str) -> list[str]:
    found = container(marker)
    return [word for part in [*found["command"], *found["args"]] for word in part.split("=", 1)]


def test_the_kubernetes_job_trains_with_the_command_of_the_slurm_script():
    training = block("slurm training")
    configs = next(line for line in training.splitlines() if line.startswith("CONFIGS=")).split("=", 1)[1].strip('"')
    program, *words = documented_command("kubernetes training")
    assert program == "torchrun" and words[:3] == ["--standalone", "--nproc_per_node", "4"]
    given = dict(zip(words[6::2], words[7::2], strict=True))
    assert words[3:6] == ["-m", "monai.bundle", "run"] and given["--config_file"] == configs
    assert set(given) < set(shlex.split(training.splitlines()[-1]))


def test_the_kubernetes_workers_run_the_command_of_the_slurm_script():
    slurm = shlex.split(block("slurm study").splitlines()[-1])[1:]
    ours = documented_command("kubernetes study")
    assert [word for word in slurm if word not in ("$DATA", slurm[-1])] == [
        word for word in ours if not word.startswith("/")
    ]
    (storage,) = container("kubernetes study")["env"]
    assert storage["name"] == "TUNEVLSEG_STORAGE" and "secretKeyRef" in storage["valueFrom"]


def test_mounted_volumes_and_selectors_are_declared():
    parts = [*yaml.safe_load_all(block("kubernetes training")), *yaml.safe_load_all(block("kubernetes study"))]
    service, database = parts[1], parts[2]
    assert service["spec"]["selector"] == database["spec"]["template"]["metadata"]["labels"]
    for part in (part for part in parts if part["kind"] != "Service"):
        pod = part["spec"]["template"]["spec"]
        claims = [claim["metadata"]["name"] for claim in part["spec"].get("volumeClaimTemplates", [])]
        declared = {volume["name"] for volume in pod.get("volumes", [])} | set(claims)
        assert {mount["name"] for mount in pod["containers"][0]["volumeMounts"]} == declared


def test_the_command_for_a_new_folder_writes_a_bundle_and_its_experiments(tmp_path):
    (line,) = lines("init")
    finished = CliRunner().invoke(app, shlex.split(line.replace("DIR", str(tmp_path)))[1:])
    assert finished.exit_code == 0, finished.output
    assert [path.name for path in (tmp_path / "bundles").iterdir()] == ["clipseg_vpt"]
    assert (tmp_path / "configs" / "kvasir" / "clipseg_vpt.yaml").is_file()
