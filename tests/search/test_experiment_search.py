"""A real search: every trial is a bundle run of a tiny random base model, in a child process."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from monai.bundle import ConfigWorkflow
from typer.testing import CliRunner

from monai_tunevlseg.__main__ import app
from monai_tunevlseg.atomic_files import unfinished_path
from monai_tunevlseg.calibration import read_calibration
from monai_tunevlseg.search import RemoteFolderError, SearchSettings, read_search_result, run_search
from monai_tunevlseg.search.best_trial import choose_best
from monai_tunevlseg.search.output_folder import find_trial_folder
from monai_tunevlseg.search.storages import open_storage
from monai_tunevlseg.search.trial_queue import finished_trials

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {"configs_dir": ROOT / "configs", "bundles_dir": ROOT / "bundles"}
EXPERIMENT = "ultrasound/clipseg_maple"
TRIALS = 2


@pytest.fixture(scope="module")
def settings(tiny_clipseg_dir):
    fixed = {"pretrained": str(tiny_clipseg_dir), "epochs": 1, "device": "cpu", "class_names": ["square"]}
    return SearchSettings(n_trials=TRIALS, fixed=fixed)


@pytest.fixture(scope="module")
def finished_search(settings, pictures, tmp_path_factory):
    """Return a finished search and its folder."""
    folder = tmp_path_factory.mktemp("search")
    return run_search(EXPERIMENT, pictures, folder, settings, **FOLDERS), folder


def test_every_trial_has_config_log_validation_log_and_checkpoint(finished_search):
    result, folder = finished_search
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
        assert state["method.context"].shape[0] == trial.params["prompt_depth"]


def test_the_scaled_search_space_is_recorded_in_the_study(finished_search):
    result, folder = finished_search
    assert result.plan["scaled"] == {
        "prompt_depth": "1 to 3 (published: 1 to 11; scaled to the base model)",
        "intermediate_dim": "2, 4, 6, 8 (published: 32, 64, 96, 128; scaled to the base model)",
    }
    studies = open_storage(f"sqlite:///{folder / 'study.db'}").get_all_studies()
    assert [(study.study_name, study.user_attrs["plan"]) for study in studies] == [(EXPERIMENT, result.plan)]


def test_only_the_best_trial_on_validation_data_is_tested(finished_search):
    result, folder = finished_search
    assert result.best.value == max(trial.value for trial in result.trials)
    assert json.loads((folder / "test" / "metrics.json").read_text()) == result.metrics
    assert result.metrics["checkpoint"] == str(Path(result.best.folder) / "models" / "model.pt")
    assert not list((folder / "trials").rglob("metrics.json"))
    assert read_search_result(folder) == result


def test_the_best_overlay_has_flat_hyperparameters_only(finished_search):
    result, folder = finished_search
    overlay = yaml.safe_load((folder / "best.yaml").read_text())
    assert overlay == {"epochs": 1, "class_names": ["square"]} | result.best.params


def test_the_best_bundle_runs_by_itself(finished_search, settings, pictures, tmp_path):
    result, folder = finished_search
    bundle = tmp_path / "elsewhere"
    shutil.copytree(folder / "best", bundle)
    config = yaml.safe_load((bundle / "configs" / "train.yaml").read_text())
    assert {name: config[name] for name in result.best.params} == result.best.params
    assert config["class_names"] == ["square"]
    calibrated = [read_calibration(Path(owner) / "models" / "model.pt") for owner in (bundle, result.best.folder)]
    assert calibrated[0] == calibrated[1] and list(calibrated[0].classes) == ["square"]
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


def test_a_finished_search_runs_nothing_again(finished_search, settings, pictures):
    result, folder = finished_search
    times = {path: path.stat().st_mtime_ns for path in [*(folder / "test").iterdir(), *(folder / "trials").iterdir()]}
    assert run_search(EXPERIMENT, pictures, folder, settings, **FOLDERS) == result
    assert times == {path: path.stat().st_mtime_ns for path in times}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "seed = 0.* 1;"),
        ({"objective": "val_loss"}, 'objective = "val_dice".*"val_loss"'),
        ({"fixed": {"epochs": 2}}, 'fixed = .*"epochs": 1.*"epochs": 2'),
    ],
)
def test_another_plan_is_refused(change, message, finished_search, settings, pictures):
    fixed = {"fixed": {**settings.fixed, **change["fixed"]}} if "fixed" in change else {}
    with pytest.raises(ValueError, match=message):
        run_search(EXPERIMENT, pictures, finished_search[1], replace(settings, **change | fixed), **FOLDERS)


def test_another_dataset_is_refused(finished_search, settings, pictures, tmp_path):
    other = shutil.copytree(pictures, tmp_path / "other")
    splits = json.loads((other / "splits.json").read_text())
    splits["val"], splits["test"] = splits["test"], splits["val"]
    (other / "splits.json").write_text(json.dumps(splits))
    with pytest.raises(ValueError, match="data = "):
        run_search(EXPERIMENT, other, finished_search[1], settings, **FOLDERS)


@pytest.fixture
def trials(finished_search, tmp_path):
    """Return the finished trials, the best one first, and copies of their folders."""
    copied = tmp_path / "search"
    shutil.copytree(finished_search[1], copied)
    import optuna

    storage = open_storage(f"sqlite:///{copied / 'study.db'}")
    found = finished_trials(optuna.load_study(study_name=EXPERIMENT, storage=storage))
    found.sort(key=lambda trial: (-trial.value, trial.user_attrs["slot"]))
    return found, [find_trial_folder(trial, copied) for trial in found], copied


@pytest.mark.parametrize("damage", ["models/model.pt", "eval/validation.jsonl"])
def test_a_damaged_trial_is_named_and_the_next_best_is_chosen(damage, trials):
    found, folders, output = trials
    (folders[0] / damage).write_bytes(b"")
    best, problems = choose_best(found, "val_dice", output)
    assert best.number == found[1].number
    assert len(problems) == 1 and str(folders[0] / damage) in problems[0]


def test_when_every_trial_is_damaged_the_best_one_is_named(trials):
    found, folders, output = trials
    for folder in folders:
        (folder / "models" / "model.pt").unlink()
    with pytest.raises(FileNotFoundError, match=f"trial {found[0].number}: {folders[0]}"):
        choose_best(found, "val_dice", output)


def test_a_best_trial_on_another_machine_is_not_replaced(trials, tmp_path):
    found, folders, output = trials
    shutil.rmtree(folders[0])
    found[0].user_attrs["folder"] = str(tmp_path / "there" / "trials" / "0000")
    with pytest.raises(RemoteFolderError, match=f"best trial, {found[0].number}, .*{folders[0]}"):
        choose_best(found, "val_dice", output)


def test_a_worker_without_the_best_trials_folder_tests_nothing(finished_search, settings, pictures, tmp_path):
    """Simulate another machine: the same study, and an output folder with only the other trial."""
    result, folder = finished_search
    here, storage = tmp_path / "here", tmp_path / "study.db"
    shutil.copy(folder / "study.db", storage)
    with closing(sqlite3.connect(storage)) as connection, connection:
        connection.execute(
            "UPDATE trial_user_attributes SET value_json = replace(value_json, ?, ?)", (str(folder), "/other/machine")
        )
    other = next(trial for trial in result.trials if trial.number != result.best.number)
    shutil.copytree(other.folder, here / "trials" / f"{other.number:04d}")
    fixed = [f"--override={name}={json.dumps(value)}" for name, value in settings.fixed.items()]
    run = search(
        EXPERIMENT,
        "--dataset-dir",
        pictures,
        "--output-dir",
        here,
        f"--storage=sqlite:///{storage}",
        "--n-trials=2",
        *fixed,
    )
    assert run.exit_code == 0, run.output
    assert f"best trial, {result.best.number}, " in run.stdout and f"trials/{result.best.number:04d}" in run.stdout
    assert not any((here / name).exists() for name in ("test", "best", "best.yaml", "search.json"))
    shutil.copytree(result.best.folder, here / "trials" / f"{result.best.number:04d}")  # the folder arrives here
    again = run_search(EXPERIMENT, pictures, here, replace(settings, storage=f"sqlite:///{storage}"), **FOLDERS)
    assert again.best.number == result.best.number and again.metrics["dice"] == result.metrics["dice"]
    assert again.best.folder == str(here / "trials" / f"{result.best.number:04d}")


def test_a_manipulated_trial_runs_nothing(finished_search, settings, pictures, tmp_path):
    result, folder = finished_search
    copied = shutil.copytree(folder, tmp_path / "search")
    planted = {"name": "CategoricalDistribution", "attributes": {"choices": [f"$open({str(tmp_path / 'x')!r}, 'w')"]}}
    other = next(trial for trial in result.trials if trial.number != result.best.number)
    with closing(sqlite3.connect(copied / "study.db")) as connection, connection:
        connection.execute(
            "UPDATE trial_params SET param_name = 'neutral_text', param_value = 0, distribution_json = ? "
            "WHERE param_name = 'prompt_depth' AND trial_id IN (SELECT trial_id FROM trials WHERE number = ?)",
            (json.dumps(planted), other.number),
        )
    with pytest.raises(ValueError, match=f"trial {other.number} .*neutral_text"):
        run_search(EXPERIMENT, pictures, copied, settings, **FOLDERS)
    assert not (tmp_path / "x").exists()


def test_another_study_in_the_same_folder_is_refused(finished_search, settings, pictures):
    _, folder = finished_search
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    with pytest.raises(ValueError, match=f"'{EXPERIMENT}'.*'another'.*--output-dir"):
        run_search(EXPERIMENT, pictures, folder, replace(settings, study_name="another"), **FOLDERS)
    after = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.name != ".study.lock"}
    assert after == {path: changed for path, changed in before.items() if path.name != ".study.lock"}


def test_files_of_the_user_in_the_best_bundle_stay(finished_search, settings, pictures, tmp_path):
    copied = shutil.copytree(finished_search[1], tmp_path / "copied")
    made = copied / "best" / "eval" / "metrics.json"
    made.parent.mkdir()
    made.write_text("mine")
    config = copied / "best" / "configs" / "train.yaml"
    config.write_text(config.read_text() + "# mine\n")
    unfinished_path(copied / "best").mkdir()  # of a worker that was killed
    run_search(EXPERIMENT, pictures, copied, settings, **FOLDERS)
    assert made.read_text() == "mine" and config.read_text().endswith("# mine\n")
    assert not list(copied.glob(".unfinished*"))
    (copied / "best" / "models" / "model.pt").write_bytes(b"of an earlier best trial")
    run_search(EXPERIMENT, pictures, copied, settings, **FOLDERS)
    assert made.read_text() == "mine" and not config.read_text().endswith("# mine\n")
    model = (Path(finished_search[0].best.folder) / "models" / "model.pt").read_bytes()
    assert (copied / "best" / "models" / "model.pt").read_bytes() == model


def test_keep_best_leaves_one_checkpoint_and_a_repeatable_search(finished_search, settings, pictures, tmp_path):
    copied = shutil.copytree(finished_search[1], tmp_path / "copied")
    for _ in range(2):
        result = run_search(EXPERIMENT, pictures, copied, replace(settings, keep="best"), **FOLDERS)
        left = [path.parts[-3] for path in (copied / "trials").rglob("*.pt")]
        assert left == [f"{result.best.number:04d}"]


def test_the_storage_may_come_from_the_environment(finished_search, settings, pictures, tmp_path, monkeypatch):
    monkeypatch.setenv("TUNEVLSEG_STORAGE", "postgresql://me:secret@127.0.0.1:1/x")
    run = search(EXPERIMENT, "--dataset-dir", pictures, "--output-dir", tmp_path / "out")
    assert run.exit_code == 1 and "postgresql://me:***@127.0.0.1:1/x " in run.stderr, run.output


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "JSON"),
        ("[" * 100_000, "JSON"),
        ("[]", "list"),
        ('{"format_version": 9}', "version 9"),
        ("{}", "version None"),
        ('{"format_version": 1}', "experiment"),
    ],
)
def test_a_damaged_search_file_is_named(content, message, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"search\.json"):
        read_search_result(tmp_path)
    (tmp_path / "search.json").write_text(content)
    with pytest.raises(ValueError, match=rf"search\.json .*{message}"):
        read_search_result(tmp_path)


WRONG = [None, [], {}, "text", -1, 1.5, True, [[]], {"": None}]


def test_a_changed_search_file_is_refused_or_has_the_right_types(finished_search, tmp_path):
    whole = json.loads((finished_search[1] / "search.json").read_text())
    paths = [(key,) for key in whole] + [("best", key) for key in whole["best"]] + [("metrics", "dice")]
    for path in paths:
        for value in WRONG:
            content = json.loads(json.dumps(whole))
            place = content
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = value
            (tmp_path / "search.json").write_text(json.dumps(content))
            try:
                read = read_search_result(tmp_path)
            except ValueError as error:
                assert "search.json" in str(error)
            else:
                assert read.metrics["dice"] >= -1 and read.best.number >= 0 and isinstance(read.study, str)


def search(*arguments):
    folders = ["--configs-dir", str(ROOT / "configs"), "--bundles-dir", str(ROOT / "bundles")]
    return CliRunner().invoke(app, ["search", *map(str, arguments), *folders])


@pytest.mark.parametrize(
    ("arguments", "values"),
    [
        (
            ["ultrasound/clipseg_vtp"],
            ["'ultrasound/clipseg_vtp'", "ultrasound/clipseg_vpt"],
        ),
        ([EXPERIMENT, "--override", "lerning_rate=1"], ["'lerning_rate'"]),
        ([EXPERIMENT, "--override", "epochs=0"], ["epochs is 0", "from 1"]),
        ([EXPERIMENT, "--override", "output_dir=x"], ["output_dir"]),
        ([EXPERIMENT, "--override", "epochs"], ["--override 'epochs'", "NAME=VALUE"]),
        ([EXPERIMENT, "--metric", "test_dice"], ["'test_dice'", "val_dice", "val_loss"]),
        ([EXPERIMENT, "--pruner", "secateurs"], ["'secateurs'", "hyperband"]),
        ([EXPERIMENT, "--n-trials", "0"], ["n_trials is 0"]),
        ([EXPERIMENT, "--grace-period", "1"], ["heartbeat_interval is 30.0", "grace_period 1.0"]),
        (
            [EXPERIMENT, "--storage", "postgresql://me:secret@127.0.0.1:1/x"],
            ["postgresql://me:***@127.0.0.1:1/x "],
        ),
        ([EXPERIMENT, "--storage", "nowhere"], ["'nowhere'", "sqlite:///FILE"]),
        ([EXPERIMENT, "--override", "epochs=[1"], ["--override 'epochs=[1'", "YAML"]),
        ([EXPERIMENT, "--n-trials", "-3"], ["n_trials is -3"]),
        ([EXPERIMENT, "--trial-timeout", "0"], ["trial_timeout is 0.0"]),
        ([EXPERIMENT, "--trial-silence", "-1"], ["trial_silence is -1.0"]),
        ([EXPERIMENT, "--keep", "none"], ["keep is 'none'", "all", "best"]),
        ([EXPERIMENT, "--share-features"], ["'maple'", "feature_cache"]),
    ],
)
def test_an_invalid_command_ends_with_a_sentence(arguments, values, pictures, tmp_path):
    result = search(*arguments, "--dataset-dir", pictures, "--output-dir", tmp_path / "out")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1, result.stderr
    assert [value for value in values if value not in result.stderr] == [], result.stderr


def test_a_missing_dataset_is_named_before_the_base_model_is_loaded(tmp_path, settings):
    settings = replace(settings, fixed={**settings.fixed, "pretrained": str(tmp_path / "no_base_model")})
    with pytest.raises(FileNotFoundError, match=r"dataset_dir .*nowhere"):
        run_search(EXPERIMENT, tmp_path / "nowhere", tmp_path / "out", settings, **FOLDERS)
    assert not (tmp_path / "out" / "trials").exists() and not (tmp_path / "out" / "study.txt").exists()
