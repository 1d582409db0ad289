"""A run of a benchmark on the other datasets of its task, and numbers of images above those of a dataset."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from sample_results import write_experiment
from small_transfers import evaluate_here, train
from typer.testing import CliRunner

from monai_tunevlseg.__main__ import app
from monai_tunevlseg.benchmark import ExperimentSpec, Group, build_report, transfer_runner
from monai_tunevlseg.benchmark.benchmark_runner import BenchmarkRunner
from monai_tunevlseg.benchmark.planned_datasets import domains_of, merge_surplus_shots, read_dataset_specs
from monai_tunevlseg.benchmark.settings import BenchmarkFolders, BenchmarkSettings
from monai_tunevlseg.benchmark.transfer_runner import TransferRunner
from monai_tunevlseg.data import build_datalists
from monai_tunevlseg.data.demo_datasets import write_demo_dataset

REPOSITORY = Path(__file__).resolve().parents[2]
UNET = ExperimentSpec("endoscopy", "unet", "scratch", group=Group.IMAGE_ONLY)
OTHERS = [
    *(replace(UNET, dataset=name) for name in ("kvasir", "ultrasound")),
    ExperimentSpec("clinicdb", "clipseg", "zero_shot", group=Group.ZERO_SHOT),
]
SETTINGS = BenchmarkSettings(n_trials=0, fixed={"num_workers": 0, "device": "cpu", "bootstrap_resamples": 99})
IMAGES = 16


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> BenchmarkFolders:
    """The demo set `endoscopy`, a flipped copy of it in the layout of Kvasir-SEG, and a U-Net that saw the first."""
    root = tmp_path_factory.mktemp("transfers")
    own = write_demo_dataset("endoscopy", root / "data" / "endoscopy", num_images=IMAGES)
    for part in ("images", "masks"):
        (root / "data" / "kvasir" / part).mkdir(parents=True)
        for path in sorted((own / part).iterdir()):
            picture = Image.open(path).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            picture.save(root / "data" / "kvasir" / part / f"{path.stem}.jpg")
    small = {"architecture": "dynunet", "channels": [8, 16, 32], "image_size": 32, "epochs": 1, "batch_size": 8}
    run = root / "results" / UNET.name / "search" / "best"
    train(run, "unet_scratch", own, ["polyp"], effective_batch_size=8, **small)
    return BenchmarkFolders(root / "results", root / "data", REPOSITORY / "configs", REPOSITORY / "bundles")


@pytest.fixture
def folders(trained, tmp_path) -> BenchmarkFolders:
    """A copy in which a test may change files."""
    for name in ("data", "results"):
        shutil.copytree(trained.results.parent / name, tmp_path / name)
    return replace(trained, results=tmp_path / "results", data=tmp_path / "data")


def transfer(folders, lines, evaluate=evaluate_here):
    datasets = read_dataset_specs([UNET, *OTHERS[:2]], folders, SETTINGS.fixed)
    runner = TransferRunner(folders, SETTINGS, datasets, domains_of([UNET], datasets), evaluate)
    made = BenchmarkRunner([UNET], runner, lines.append, "transfers")
    made.run()
    return made


def problems_of_transfers(folders):
    problems = build_report(folders.results).problems
    return {problem.place: problem.message for problem in problems if problem.place.startswith("transfer/")}


def test_a_run_is_tested_on_the_test_splits_of_its_task_and_found_again(folders):
    lines, evaluated = [], []

    def counted(name, configs, values, folder):
        evaluated.append(folder.name)
        return evaluate_here(name, configs, values, folder)

    made = transfer(folders, lines, counted)
    assert not made.failures and evaluated == ["endoscopy", "kvasir"]
    found = json.loads((folders.results / "transfer" / UNET.name / "transfer.json").read_text())
    (target,) = found["tuned"]["targets"]
    assert (found["run"], found["trained_on"], target["name"], target["part"]) == (
        UNET.name,
        "endoscopy",
        "kvasir",
        "test",
    )
    tested = build_datalists(made.runner.datasets["kvasir"])["test"]
    assert target["images"] == len(tested) < IMAGES and target["texts"] == {"polyp": "polyp"}
    assert lines[0] == "1 transfers, 0 of them finished before" and lines[-1] == "1 of 1 transfers are finished"
    assert made.finished[UNET] > 0

    write_experiment(folders.results, "kvasir/clipseg_vpt", [80, 90])
    (row,) = build_report(folders.results).other_domains.rows
    assert (row.title, row.trained_on, set(row.datasets)) == (UNET.name, "endoscopy", {"endoscopy", "kvasir"})
    assert row.datasets["kvasir"].value == pytest.approx(target["scores"]["dice"])

    evaluated.clear()
    transfer(folders, lines, counted)
    assert lines[-1] == "1 transfers, 1 of them finished before" and not evaluated
    record = folders.results / "transfer" / UNET.name / "transfer.json"
    record.write_text(json.dumps(found | {"checkpoint_digest": "0" * 64}))
    transfer(folders, lines, counted)
    assert lines[-1] == "1 of 1 transfers are finished" and not evaluated  # whose evaluations are those of the run


def test_a_failed_transfer_is_named_until_it_succeeds(folders):
    away = (folders.data / "kvasir").rename(folders.data / "away")
    write_experiment(folders.results, "endoscopy/clipseg_vpt", [80, 90])
    made = transfer(folders, [])
    assert "kvasir" in made.failures[UNET]
    assert problems_of_transfers(folders) == {f"transfer/{UNET.name}": f"failed: {made.failures[UNET]}"}
    away.rename(folders.data / "kvasir")
    assert not transfer(folders, []).failures and not problems_of_transfers(folders)


def test_the_command_transfers_what_is_finished_and_exits_with_failures(folders, monkeypatch):
    names = [UNET.name, "kvasir/clipseg_zero_shot"]
    for name in names:
        stored = BenchmarkSettings(n_trials=0, fixed={"device": "cpu"}).stored()
        write_experiment(folders.results, name, [80, 90], facts={"settings": stored})
    command = ["benchmark", "--experiments", ",".join(names), "--n-trials", "0", "--transfer", "--shots", "999"]
    command += ["--override", "device=cpu", "--results", str(folders.results), "--data-root", str(folders.data)]
    monkeypatch.setattr(transfer_runner, "run_evaluation", lambda *values, limits: evaluate_here(*values))
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "endoscopy has 12 training images" in done.stdout and "1 of 1 transfers are finished" in done.stdout
    place = folders.results / "transfer" / UNET.name / "transfer.json"
    assert {target["name"] for target in json.loads(place.read_text())["tuned"]["targets"]} == {"kvasir"}
    assert "Does it hold elsewhere?" in (folders.results / "report" / "report.md").read_text()
    place.unlink()
    (folders.data / "kvasir").rename(folders.data / "away")
    failed = CliRunner().invoke(app, command)
    assert failed.exit_code == 1 and f"failed: transfer/{UNET.name}: " in failed.stderr, failed.output


def test_the_texts_tell_which_datasets_are_of_one_task(trained):
    specs = [UNET, *OTHERS]
    datasets = read_dataset_specs(specs, trained, {})
    polyps = {"endoscopy": ["clinicdb", "kvasir"], "kvasir": ["clinicdb", "endoscopy"], "ultrasound": []}
    assert domains_of(specs, datasets) == polyps
    with pytest.raises(ValueError, match=r"'?ultrasound'?.*--transfer"):
        domains_of([OTHERS[1]], datasets)
    one_text = read_dataset_specs(specs, trained, {"neutral_text": "lesion"})
    assert domains_of(specs, one_text)["endoscopy"] == ["clinicdb", "kvasir", "ultrasound"]


def test_more_shots_than_images_are_planned_once_as_all(trained):
    shots = (4, IMAGES, 64, 999, None)
    specs = [replace(UNET, num_shots=number, seed=seed) for number in shots for seed in (0, 1)]
    missing = replace(OTHERS[1], num_shots=999)
    lines = []
    merged = merge_surplus_shots([*specs, missing], read_dataset_specs([UNET, missing], trained, {}), lines.append)
    kept = [replace(UNET, num_shots=number, seed=seed) for number in (4, None) for seed in (0, 1)]
    assert merged == [*kept, missing]
    (line,) = lines
    assert line.startswith("endoscopy has 12 ") and f"{IMAGES}, 64, 999" in line
