"""README's commands and snippets, run as they are written but for folders and sizes."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser
from owners_trees import write_kvasir
from PIL import Image
from transformers import CLIPSegConfig, CLIPSegForImageSegmentation

from monai_tunevlseg.benchmark.presets import PRESETS
from monai_tunevlseg.bundles import bundle_names
from monai_tunevlseg.data.demo_datasets import write_demo_dataset
from monai_tunevlseg.methods import METHODS
from monai_tunevlseg.networks import CRIS, Upsampler
from monai_tunevlseg.sharing import Release, Sources, share_bundle

ROOT = Path(__file__).resolve().parents[1]
TINY = "monai_tunevlseg/demo/clipseg"
README = (ROOT / "README.md").read_text(encoding="utf-8")


# but for the folders that a run writes
PATHS = sorted(set(re.findall(r"`((?:monai_tunevlseg|configs|docs)/[a-z\d_/.]*)`", README)))


def _block(language: str, after: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", README[README.index(after) :], re.DOTALL)
    assert found, f"README has no {language} block after {after!r}"
    return found[1]


def test_own_data_commands_run(tmp_path):
    data = write_demo_dataset("endoscopy", tmp_path / "data", num_images=10)
    (data / "splits.json").unlink()
    bundle = tmp_path / "bundle"
    shutil.copytree(ROOT / "bundles" / "clipseg_vpt", bundle, ignore=shutil.ignore_patterns("models", "eval", "output"))
    quick = f"--pretrained {TINY} --prompt_depth 2 --epochs 1 --batch_size 4 --num_workers 0"
    lines = [line for line in _block("sh", "<!-- own data -->").splitlines() if line.startswith("python")]
    assert len(lines) == 3
    for line in lines:
        line = line.replace("NEW_IMAGES", str(data / "images")).replace("DIR", str(data))
        command = shlex.split(line.replace("bundles/clipseg_vpt", str(bundle)) + " " + quick)
        finished = subprocess.run(
            [sys.executable, *command[1:]], cwd=ROOT, capture_output=True, text=True, env=os.environ, check=False
        )
        assert finished.returncode == 0, finished.stderr[-2000:]
    assert (bundle / "models" / "model.pt").is_file()
    assert (bundle / "eval" / "metrics.json").is_file()
    assert (bundle / "eval" / "splits.json").is_file()
    assert len(list((bundle / "output" / "masks").iterdir())) == 10


def test_commands_of_an_experiment_run_and_their_runs_are_compared(tmp_path):
    """Of a dataset as its owner distributes it, with another base model and fewer epochs."""
    write_kvasir(tmp_path / "data")
    quick = f"--pretrained {TINY} --prompt_depth 2 --epochs 1 --batch_size 4 --num_workers 0"
    lines = _block("sh", "<!-- experiment -->").replace("DIR", str(tmp_path / "data")).splitlines()
    assert [line.split()[0] for line in lines] == ["tunevlseg", "tunevlseg", "python", "python"]
    for line in lines:
        run = f"{quick} --bundle_root {tmp_path}" if line.startswith("python") else ""
        finished = _start(f"{line.split('#')[0]} {run}")
        assert finished.returncode == 0, finished.stderr
    compared = _block("sh", "<!-- compare -->").split("#")[0]
    finished = _start(compared.replace("RUN_A", str(tmp_path / "eval")).replace("RUN_B", str(tmp_path / "eval")))
    assert finished.returncode == 0, finished.stderr
    assert "+0.00" in finished.stdout


def test_commands_of_the_study_run(tmp_path):
    """One trial of one epoch, of one experiment."""
    write_kvasir(tmp_path / "data" / "kvasir")
    fixed = {"pretrained": TINY, "epochs": 1, "batch_size": 4, "num_workers": 0}
    quick = "--n-trials 1 " + " ".join(f"--override {name}={value}" for name, value in fixed.items())
    places = {
        "'kvasir/*,busi/clipseg_*'": "kvasir/clipseg_vpt",
        "ROOT": f"{tmp_path}/data",
        "DIR": f"{tmp_path}/data/kvasir",
    }
    *lines, preset = _block("sh", "<!-- study -->").splitlines()
    for line, further in zip(
        lines, (f"--output-dir {tmp_path}/search", f"--results {tmp_path}/results", ""), strict=True
    ):
        for written, place in places.items():
            line = line.replace(written, place)
        line = line.split("#")[0].replace("report results", f"report {tmp_path}/results")
        finished = _start(f"{line} {further} {quick if further else ''}")
        assert finished.returncode == 0, finished.stderr
    assert (tmp_path / "search" / "best" / "models" / "model.pt").is_file()
    assert "Kvasir-SEG" in (tmp_path / "results" / "report" / "report.html").read_text(encoding="utf-8")
    arguments = shlex.split(preset.split("#")[0])
    assert arguments[:2] == ["tunevlseg", "benchmark"] and arguments[3] in PRESETS


def test_commands_of_the_feature_cache_run(tmp_path):
    write_kvasir(tmp_path / "data")
    pair = write_demo_dataset("endoscopy", tmp_path / "own", num_images=10)
    train, search = (line.split("#")[0] for line in _block("sh", "<!-- cache -->").splitlines())
    train = train.replace("--bundle_root bundles/clipseg_coop", f"--bundle_root {tmp_path}").replace("DIR", str(pair))
    finished = _start(f"{train} --pretrained {TINY} --prompt_depth 2 --epochs 1 --batch_size 4 --num_workers 0")
    assert finished.returncode == 0, finished.stderr
    assert "views of 8 images for the feature cache" in finished.stderr + finished.stdout
    fixed = {"pretrained": TINY, "epochs": 1, "batch_size": 4, "num_workers": 0, "num_views": 1}
    quick = "--n-trials 1 " + " ".join(f"--override {name}={value}" for name, value in fixed.items())
    search = search.replace("DIR", f"{tmp_path}/data")
    finished = _start(f"{search} {quick} --output-dir {tmp_path}/search")
    assert finished.returncode == 0, finished.stderr
    assert list((tmp_path / "search").rglob("*.safetensors"))


def test_commands_of_sharing_run(tmp_path):
    """Those for whoever unpacks the bundle are run in tests/sharing."""
    write_kvasir(tmp_path / "data")
    lines = _block("sh", "<!-- share -->").replace("DIR", str(tmp_path / "data")).splitlines()
    quick = f"--pretrained {TINY} --prompt_depth 2 --epochs 1 --batch_size 4 --num_workers 0"
    for line in lines:
        line = line.split("#")[0].replace("runs/kvasir", f"{tmp_path}/run").replace("shared", f"{tmp_path}/shared")
        line = line.replace("model.onnx", f"{tmp_path}/model.onnx")
        finished = _start(f"{line} {quick if line.startswith('python') else ''}")
        assert finished.returncode == 0, finished.stderr + finished.stdout
    assert (tmp_path / "shared" / "kvasir_polyp_clipseg_vpt_v0.1.0.zip").is_file()
    assert (tmp_path / "model.onnx").is_file()


def _start(line: str) -> subprocess.CompletedProcess[str]:
    """Run a command of README in the root of the repository."""
    program, *arguments = shlex.split(line)
    module = ["-m", "monai_tunevlseg"] if program == "tunevlseg" else []
    return subprocess.run([sys.executable, *module, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def test_python_snippet_runs(tmp_path, monkeypatch):
    """With a bundle of that name that has an embedded base model."""
    release, sources = Release(name="kvasir_polyp_clipseg_vpt"), Sources(configs_dir=ROOT / "configs")
    share_bundle("ultrasound/clipseg_vpt", tmp_path / "shared", sources=sources, release=release)
    Image.new("RGB", (50, 40), (215, 30, 35)).save(tmp_path / "image.png")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(_block("python", "From Python"), names)
    assert names["masks"].dtype == bool and names["masks"].shape == (1, 40, 50)


def test_own_data_commands_are_those_of_all_bundles():
    assert all((ROOT / "bundles" / name).is_dir() for name in set(re.findall(r"bundles/(\w+_\w+)", README)))


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\bmake ([a-z]+)", README))))
def test_make_targets_exist(target):
    finished = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr


@pytest.mark.parametrize("path", PATHS)
def test_named_paths_exist(path):
    assert (ROOT / path).exists()


@pytest.fixture(scope="module")
def full_size() -> dict[str, tuple[torch.nn.Module, dict, tuple]]:
    """The base models as published, without memory; what their methods are built for; their upsamplers' channels."""
    with torch.device("meta"):
        clipseg, cris = CLIPSegForImageSegmentation(CLIPSegConfig()), CRIS()
    text = {"text_dim": 512, "num_layers": 12}
    return {
        "clipseg": (clipseg, text | {"vision_dim": 768, "image_embed_dim": 512}, (64,)),
        "cris": (cris, text | {"vision_dim": None, "image_embed_dim": 1024}, (512, 64)),
    }


@pytest.mark.parametrize("bundle", bundle_names(ROOT / "configs"))
def test_the_table_has_every_bundle_with_what_trains_at_full_size(bundle, full_size):
    model, _, method = bundle.partition("_")
    base, widths, channels = full_size[model]
    parser = ConfigParser()
    parser.read_config(str(ROOT / "bundles" / bundle / "configs" / "train.yaml"))
    if method == "finetune":
        title, trained = "none", base
    else:
        arguments = parser.get_parsed_content("method_kwargs")
        parts = {"method": METHODS[method](**widths, **arguments), "upsampler": Upsampler(*channels)}
        title, trained = METHODS[method].__name__, torch.nn.ModuleDict(parts)
    count = sum(parameter.numel() for parameter in trained.parameters())
    size = sum(value.nbytes for value in trained.state_dict().values()) / 1000
    row = re.search(rf"\| `{bundle}` \| {title} \|.*\| ([\d,]+) \| ([\d.]+) (kB|MB) \|", README)
    assert row and int(row[1].replace(",", "")) == count
    assert float(row[2]) * (1 if row[3] == "kB" else 1000) == pytest.approx(size, rel=0.05)


def test_pictures_exist():
    assert all((ROOT / path).is_file() for path in re.findall(r"!\[[^]]*\]\(([^)]+)\)", README))
