"""A real sweep: every trial is a bundle run of a tiny random base model, in a process of its own."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from monai.bundle import ConfigWorkflow
from typer.testing import CliRunner

from monai_tunevlseg.__main__ import app
from monai_tunevlseg.search import SearchSettings, read_sweep, run_search
from monai_tunevlseg.search.best import choose_best
from monai_tunevlseg.search.claims import finished_trials
from monai_tunevlseg.search.storages import open_storage

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {"configs_dir": ROOT / "configs", "bundles_dir": ROOT / "bundles"}
PAIR = "ultrasound/clipseg_maple"
TRIALS = 2


@pytest.fixture(scope="module")
def settings(tiny_clipseg_dir):
    fixed = {"pretrained": str(tiny_clipseg_dir), "epochs": 1, "device": "cpu", "class_names": ["square"]}
    return SearchSettings(trials=TRIALS, fixed=fixed)


@pytest.fixture(scope="module")
def sweep(settings, pictures, tmp_path_factory):
    """A finished sweep, and its folder."""
    folder = tmp_path_factory.mktemp("sweep")
    return run_search(PAIR, pictures, folder, settings, **FOLDERS), folder


def test_every_trial_leaves_config_log_curve_and_checkpoint(sweep):
    result, folder = sweep
    assert [trial.state for trial in result.trials] == ["COMPLETE"] * TRIALS
    for trial in result.trials:
        own = Path(trial.folder)
        assert own.parent == folder / "trials"
        assert {path.name for path in own.iterdir()} == {"config.yaml", "log.txt", "models", "eval"}
        config = yaml.safe_load((own / "config.yaml").read_text())
        assert {name: config[name] for name in trial.params} == trial.params
        curve = [json.loads(line) for line in (own / "eval" / "validation.jsonl").read_text().splitlines()]
        assert [line["epoch"] for line in curve] == [1] and trial.val_loss == curve[0]["val_loss"]
        state = torch.load(own / "models" / "model.pt", weights_only=True)
        assert state["learner.context"].shape[0] == trial.params["prompt_depth"]


def test_the_space_is_scaled_to_the_base_model_and_the_study_says_so(sweep):
    result, folder = sweep
    assert result.plan["scaled"] == {
        "prompt_depth": "1 to 3 (published: 1 to 11; scaled to the base model)",
        "intermediate_dim": "2, 4, 6, 8 (published: 32, 64, 96, 128; scaled to the base model)",
    }
    studies = open_storage(f"sqlite:///{folder / 'study.db'}").get_all_studies()
    assert [(study.study_name, study.user_attrs["plan"]) for study in studies] == [(PAIR, result.plan)]


def test_the_best_trial_is_chosen_on_validation_and_tested_alone(sweep):
    result, folder = sweep
    assert result.best.value == max(trial.value for trial in result.trials)
    assert json.loads((folder / "test" / "metrics.json").read_text()) == result.metrics
    assert result.metrics["checkpoint"] == str(Path(result.best.folder) / "models" / "model.pt")
    assert not list((folder / "trials").rglob("metrics.json"))
    assert read_sweep(folder) == result


def test_the_best_overlay_has_flat_hyperparameters_only(sweep):
    result, folder = sweep
    overlay = yaml.safe_load((folder / "best.yaml").read_text())
    assert overlay == {"epochs": 1, "class_names": ["square"]} | result.best.params


def test_the_best_bundle_runs_by_itself(sweep, settings, pictures, tmp_path):
    result, folder = sweep
    bundle = tmp_path / "elsewhere"
    shutil.copytree(folder / "best", bundle)
    config = yaml.safe_load((bundle / "configs" / "train.yaml").read_text())
    assert {name: config[name] for name in result.best.params} == result.best.params
    assert config["class_names"] == ["square"]
    made = ConfigWorkflow(
        str(bundle / "configs" / "evaluate.yaml"),
        workflow_type="infer",
        logging_file=False,
        bundle_root=str(bundle),
        dataset_dir=str(pictures),
        pretrained=settings.fixed["pretrained"],
        num_workers=0,
        num_overlays=0,
    )
    made.initialize()
    made.run()
    assert json.loads((bundle / "eval" / "metrics.json").read_text())["dice"] == result.metrics["dice"]


def test_the_same_call_on_a_finished_sweep_runs_nothing(sweep, settings, pictures):
    result, folder = sweep
    times = {path: path.stat().st_mtime_ns for path in [*(folder / "test").iterdir(), *(folder / "trials").iterdir()]}
    assert run_search(PAIR, pictures, folder, settings, **FOLDERS) == result
    assert times == {path: path.stat().st_mtime_ns for path in times}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "has seed = 0, and this command 1"),
        ({"objective": "val_loss"}, 'has objective = "val_dice"'),
        ({"fixed": {"epochs": 2}}, 'has fixed = .*"epochs": 1'),
    ],
)
def test_another_plan_is_refused(change, message, sweep, settings, pictures):
    fixed = {"fixed": {**settings.fixed, **change["fixed"]}} if "fixed" in change else {}
    with pytest.raises(ValueError, match=message):
        run_search(PAIR, pictures, sweep[1], replace(settings, **change | fixed), **FOLDERS)


def test_another_dataset_is_refused(sweep, settings, pictures, tmp_path):
    other = shutil.copytree(pictures, tmp_path / "other")
    splits = json.loads((other / "splits.json").read_text())
    splits["val"], splits["test"] = splits["test"], splits["val"]
    (other / "splits.json").write_text(json.dumps(splits))
    with pytest.raises(ValueError, match="has data = "):
        run_search(PAIR, other, sweep[1], settings, **FOLDERS)


@pytest.fixture
def trials(sweep, tmp_path):
    """The finished trials, and copies of their folders to be spoilt: the best one's first."""
    copied = tmp_path / "sweep"
    shutil.copytree(sweep[1], copied)
    import optuna

    storage = open_storage(f"sqlite:///{copied / 'study.db'}")
    found = finished_trials(optuna.load_study(study_name=PAIR, storage=storage))
    for trial in found:
        trial.user_attrs["folder"] = str(copied / "trials" / f"{trial.number:04d}")
    found.sort(key=lambda trial: (-trial.value, trial.user_attrs["slot"]))
    return found, [Path(trial.user_attrs["folder"]) for trial in found]


@pytest.mark.parametrize("damage", ["models/model.pt", "eval/validation.jsonl"])
def test_a_damaged_trial_is_named_and_the_next_best_chosen(damage, trials):
    found, folders = trials
    (folders[0] / damage).write_bytes(b"")
    best, problems = choose_best(found, "val_dice")
    assert best.number == found[1].number
    assert len(problems) == 1 and str(folders[0] / damage) in problems[0]


def test_when_every_trial_is_damaged_the_best_one_is_named(trials):
    found, folders = trials
    for folder in folders:
        shutil.rmtree(folder)
    with pytest.raises(FileNotFoundError, match=f"there is no folder {folders[0]} on this machine"):
        choose_best(found, "val_dice")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is damaged"),
        ("[]", "is damaged"),
        ('{"format_version": 9}', "has format version 9"),
        ("{}", "is damaged"),
    ],
)
def test_a_damaged_sweep_file_is_named(content, message, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"sweep\.json is missing"):
        read_sweep(tmp_path)
    (tmp_path / "sweep.json").write_text(content)
    with pytest.raises(ValueError, match=rf"sweep\.json {message}"):
        read_sweep(tmp_path)


def search(*arguments):
    folders = ["--configs-dir", str(ROOT / "configs"), "--bundles-dir", str(ROOT / "bundles")]
    return CliRunner().invoke(app, ["search", *map(str, arguments), *folders])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["ultrasound/clipseg_vtp"],
            "no pair 'ultrasound/clipseg_vtp'; near to it are ultrasound/clipseg_vpt",
        ),
        ([PAIR, "--set", "lerning_rate=1"], "has no hyperparameter 'lerning_rate'"),
        ([PAIR, "--set", "output_dir=x"], "output_dir cannot be fixed"),
        ([PAIR, "--set", "epochs"], "--set 'epochs' is not understood"),
        ([PAIR, "--metric", "test_dice"], "the objective 'test_dice' is not known; it is val_dice or val_loss"),
        ([PAIR, "--pruner", "secateurs"], "the pruner 'secateurs' is not known"),
        ([PAIR, "--trials", "0"], "trials is 0"),
        ([PAIR, "--grace", "1"], "must be above 0 and below grace"),
        (
            [PAIR, "--storage", "postgresql://me:secret@127.0.0.1:1/x"],
            "postgresql://me:***@127.0.0.1:1/x cannot",
        ),
        ([PAIR, "--storage", "nowhere"], "'nowhere' is no address"),
        ([PAIR, "--share-features"], "the learner maple prompts the vision encoder"),
    ],
)
def test_what_is_wrong_with_a_command_is_said_in_a_sentence(arguments, message, pictures, tmp_path):
    result = search(*arguments, "--dataset-dir", pictures, "--output-dir", tmp_path / "out")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1, result.stderr
    assert message in result.stderr


def test_a_missing_dataset_is_named_before_any_trial(tmp_path, settings):
    with pytest.raises(FileNotFoundError, match=r"dataset_dir .*nowhere is not a folder"):
        run_search(PAIR, tmp_path / "nowhere", tmp_path / "out", settings, **FOLDERS)
    assert not (tmp_path / "out" / "trials").exists()
