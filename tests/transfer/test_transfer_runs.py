"""Transfers of trained runs: the planted shift, what targets may not change, and what is evaluated again."""

from __future__ import annotations

import csv
import json
import shutil
from statistics import fmean

import numpy as np
import pytest
from PIL import Image
from small_transfers import BUNDLES, IN_THIS_PROCESS, contents, evaluate_here

from monai_tunevlseg.bundles import set_config_values
from monai_tunevlseg.transfer import (
    TransferSettings,
    matrix_rows,
    read_source_run,
    read_target,
    read_transfer,
    transfer_runs,
    write_matrix,
)

OVERRIDES = IN_THIS_PROCESS | {"bootstrap_resamples": 200, "num_overlays": 0, "save_masks": False}


def transfer(folder, run, targets, evaluate=evaluate_here, **settings):
    overrides = OVERRIDES | settings.pop("overrides", {})
    (result,) = transfer_runs({folder: run}, targets, TransferSettings(overrides, **settings), evaluate)
    return result


def test_a_planted_shift_shows_in_the_matrix(domains, unet_runs, tmp_path):
    """Each network is good on its own domain and poor on the other, over the same test images."""
    targets = [read_target(name, folder, {"layout": "folder"}) for name, folder in domains.items()]
    runs = {tmp_path / name: read_source_run(folder, BUNDLES, name) for name, folder in unet_runs.items()}
    results = transfer_runs(runs, targets, TransferSettings(OVERRIDES), evaluate_here)
    rows = {row.label: row for row in matrix_rows(results, "dice")}
    score = {(row, column): rows[row].datasets[column].value for row in rows for column in domains}
    assert min(score["dark", "dark"], score["bright", "bright"]) > 60
    assert max(score["dark", "bright"], score["bright", "dark"]) < 40
    for name, row in rows.items():
        (other,) = set(domains) - {name}
        assert row.trained_on == name and row.datasets[name].is_source and not row.datasets[other].is_source
        assert row.summary["ood"].value == pytest.approx(score[name, other], abs=1e-3)
        low, high = row.summary["ood"].interval
        assert low < row.summary["ood"].value < high < row.summary["id"].interval[0]
    assert {result["tuned"]["source"]["images"] for result in results} == {4}
    assert {result["tuned"]["targets"][0]["part"] for result in results} == {"test"}
    write_matrix(tmp_path, list(rows.values()), "dice")
    table = list(csv.DictReader((tmp_path / "matrix.csv").open()))
    assert [float(table[0][name]) for name in ("dark", "bright")] == [score["dark", "dark"], score["dark", "bright"]]
    assert f"**{score['bright', 'bright']:.2f}**" in (tmp_path / "matrix.md").read_text()


def test_a_changed_target_leaves_the_chosen_model_alone(source, domains, tmp_path):
    """Checkpoint, calibration and in-domain scores stay bit for bit when images and masks of the target change."""
    data = shutil.copytree(domains["bright"], tmp_path / "data")
    target = read_target("hospital", data, {"layout": "folder"})
    before = contents(source.folder)
    assert {"models/model.pt", "models/calibration.json"} <= set(before)
    calibrated = {"overrides": {"calibration": "auto"}}
    first = transfer(tmp_path / "first", source, [target], **calibrated)
    for number, path in enumerate(sorted((data / "masks").iterdir())):
        image = data / "images" / path.name
        Image.fromarray(255 - np.asarray(Image.open(image))).save(image)
        Image.fromarray(np.roll(np.asarray(Image.open(path)), 10 + number, axis=1)).save(path)
    second = transfer(tmp_path / "second", source, [target], **calibrated)
    assert contents(source.folder) == before
    own = [contents(tmp_path / name / "tuned" / source.dataset) for name in ("first", "second")]
    assert own[0]["metrics.json"] == own[1]["metrics.json"] and own[0]["pairs.csv"] == own[1]["pairs.csv"]
    applied = json.loads(own[0]["metrics.json"])["calibration"]["applied"]["lesion"]
    fitted = json.loads(before["models/calibration.json"])["classes"]["lesion"]
    assert applied == {name: fitted[name] for name in ("temperature", "threshold")}
    sources = [{**found["tuned"]["source"], "seconds": None} for found in (first, second)]
    assert sources[0] == sources[1]
    assert first["tuned"]["targets"][0]["scores"] != second["tuned"]["targets"][0]["scores"]


def test_scores_are_those_of_the_evaluations(source, bright, tmp_path):
    result = transfer(tmp_path, source, [bright])
    tuned = result["tuned"]
    assert (tuned["source"]["part"], tuned["source"]["images"]) == ("test", 4)
    assert (tuned["targets"][0]["part"], tuned["targets"][0]["images"]) == ("all", 32)
    for dataset in (tuned["source"], *tuned["targets"]):
        metrics = json.loads((tmp_path / "tuned" / dataset["name"] / "metrics.json").read_text())
        assert dataset["scores"]["dice"] == metrics["dice"]
        assert dataset["intervals"]["dice"] == metrics["intervals"]["dice"]
        assert dataset["classes"]["lesion"]["scores"]["iou"] == metrics["classes"]["lesion"]["iou"]
        assert metrics["checkpoint_digest"] == result["checkpoint_digest"] == source.checkpoint_digest
    pairs = list(csv.DictReader((tmp_path / "tuned" / "bright" / "pairs.csv").open()))
    assert {pair["text"] for pair in pairs} == {"lesion"}
    assert tuned["summary"]["dice"]["ood"] == pytest.approx(fmean(float(pair["dice"]) for pair in pairs))
    assert read_transfer(tmp_path) == json.loads(json.dumps(result))
    rows = {(row["role"], row["dataset"]): row for row in csv.DictReader((tmp_path / "transfer.csv").open())}
    assert float(rows["ood", ""]["dice"]) == tuned["summary"]["dice"]["ood"]
    assert float(rows["target", "bright"]["dice_low"]) == tuned["targets"][0]["intervals"]["dice"][0]


def test_what_was_evaluated_is_not_evaluated_again_unless_something_changed(source, domains, tmp_path):
    data = shutil.copytree(domains["bright"], tmp_path / "data")
    target = read_target("hospital", data, {"layout": "folder"})
    evaluated = []

    def evaluate(name, configs, values, folder):
        evaluated.append(folder.name)
        return evaluate_here(name, configs, values, folder)

    def again(**settings):
        evaluated.clear()
        transfer(tmp_path / "out", source, [target], evaluate, **settings)
        return list(evaluated)

    assert again() == [source.dataset, "hospital"]
    assert again() == []
    first = sorted((data / "masks").iterdir())[0]
    first.write_bytes(first.read_bytes())
    assert again() == ["hospital"]
    (tmp_path / "out" / "tuned" / "hospital" / "evaluation.json").write_text("{")
    assert again() == ["hospital"]
    assert again(part="test") == ["hospital"]
    assert again(part="test", overrides={"calibration": "auto"}) == [source.dataset, "hospital"]


def test_a_failed_evaluation_leaves_the_others_for_the_next_call(source, bright, tmp_path):
    def fail_on_target(name, configs, values, folder):
        if folder.name == "bright":
            raise RuntimeError("no memory")
        return evaluate_here(name, configs, values, folder)

    with pytest.raises(RuntimeError, match="no memory"):
        transfer(tmp_path, source, [bright], fail_on_target)
    assert not (tmp_path / "transfer.json").exists()
    evaluated = []

    def evaluate(name, configs, values, folder):
        evaluated.append(folder.name)
        return evaluate_here(name, configs, values, folder)

    transfer(tmp_path, source, [bright], evaluate)
    assert evaluated == ["bright"]


def test_a_checkpoint_that_changes_is_an_error(clipseg_run, bright, tmp_path):
    run = read_source_run(shutil.copytree(clipseg_run, tmp_path / "run"), BUNDLES)

    def train_on(name, configs, values, folder):
        metrics = evaluate_here(name, configs, values, folder)
        return metrics | {"checkpoint_digest": "0" * 16} if folder.name == "bright" else metrics

    with pytest.raises(RuntimeError, match=r"model\.pt changed"):
        transfer(tmp_path / "out", run, [bright], train_on)


def test_classes_map_to_the_texts_of_the_run(source, domains, tmp_path):
    """Two classes of a label map count as one, whose mask is their union."""
    data = tmp_path / "data"
    shutil.copytree(domains["bright"] / "images", data / "images")
    (data / "masks").mkdir()
    for path in sorted((domains["bright"] / "masks").iterdir()):
        labels = np.where(np.asarray(Image.open(path)) > 0, 1, 3).astype(np.uint8)
        labels[:, : labels.shape[1] // 2] *= 2
        Image.fromarray(np.select([labels == 1, labels == 2], [1, 2], 0).astype(np.uint8)).save(
            data / "masks" / path.name
        )
    options = {"layout": "folder", "class_names": ["benign", "malignant"]}
    two, one = read_target("two", data, options), read_target("one", domains["bright"], {"layout": "folder"})
    texts = {"two": {"benign": "lesion", "malignant": "Lesion"}}
    scores = {
        dataset["name"]: dataset for dataset in transfer(tmp_path, source, [two, one], texts=texts)["tuned"]["targets"]
    }
    assert scores["two"]["texts"] == {"benign": "lesion", "malignant": "lesion"}
    assert scores["two"]["scores"] == scores["one"]["scores"]
    left = transfer(tmp_path, source, [two], texts={"two": {"benign": "lesion"}}, skip_unmapped=True)
    (target,) = left["tuned"]["targets"]
    assert (target["left_out"], list(target["classes"])) == (["malignant"], ["lesion"])
    assert target["scores"]["dice"] != scores["one"]["scores"]["dice"]


def test_a_bundle_with_configs_of_its_own_is_tested_alike(
    source, bright, domains, clipseg_run, tiny_clipseg_dir, tmp_path
):
    """As a shared bundle, without a record of the training; its options of the dataset are not those of a target."""
    bundle = shutil.copytree(clipseg_run, tmp_path / "bundle")
    shutil.copytree(BUNDLES / "clipseg_vpt" / "configs", bundle / "configs")
    (bundle / "models" / "hyperparameters.json").unlink()
    config = bundle / "configs" / "evaluate.yaml"
    own = {"class_names": ["lesion"], "group_pattern": "^(ultrasound)", "pretrained": str(tiny_clipseg_dir)}
    config.write_text(set_config_values(config.read_text(), own))
    run = read_source_run(bundle, BUNDLES, dataset_dir=domains["dark"])
    found, plain = (
        transfer(tmp_path / name, of, [bright])["tuned"] for name, of in (("found", run), ("plain", source))
    )
    assert found["source"]["scores"] == plain["source"]["scores"]
    assert found["targets"][0]["scores"] == plain["targets"][0]["scores"]
    assert (found["source"]["clusters"], found["targets"][0]["clusters"]) == (1, 32)


def test_the_base_model_is_tested_beside_the_run(source, bright, tmp_path):
    result = transfer(tmp_path, source, [bright], zero_shot=True)
    assert [dataset["name"] for dataset in result["zero_shot"]["targets"]] == ["bright"]
    metrics = json.loads((tmp_path / "zero_shot" / "bright" / "metrics.json").read_text())
    assert (metrics["network"]["trained_parameters"], metrics["checkpoint_digest"]) == (0, None)
    tuned, zero_shot = matrix_rows([result], "dice")
    assert (tuned.trained_on, zero_shot.trained_on) == ("dark", None)
    assert not any(cell.is_source for cell in zero_shot.datasets.values())


def test_images_that_the_run_was_trained_on_are_named(source, domains, tmp_path):
    """A copy, and the same picture in another brightness; other pictures of the same kind are not named."""
    data = shutil.copytree(domains["bright"], tmp_path / "data")
    (data / "splits.json").unlink()
    for stem, change in (("ultrasound_0003", None), ("ultrasound_0005", 0.7)):
        for part in ("images", "masks"):
            pixels = Image.open(domains["dark"] / part / f"{stem}.png")
            dimmed = pixels.point(lambda value: int(0.7 * value)) if change and part == "images" else pixels
            dimmed.save(data / part / f"seen_{stem}.png")
    shutil.copy(domains["dark"] / "images" / "ultrasound_0003.png", data / "images" / "seen_ultrasound_0003.png")
    target = read_target("hospital", data, {"layout": "folder"})
    with pytest.warns(UserWarning, match=r"hospital.*seen_ultrasound_000") as caught:
        result = transfer(tmp_path / "out", source, [target])
    seen = result["tuned"]["targets"][0]["seen_in_training"]
    assert seen == {
        "copies": ["images/seen_ultrasound_0003.png"],
        "near_duplicates": ["images/seen_ultrasound_0005.png"],
    }
    assert len([warning for warning in caught if "hospital" in str(warning.message)]) == 2


def test_image_only_networks_have_no_base_model(unet_runs, bright, tmp_path):
    run = read_source_run(unet_runs["dark"], BUNDLES)
    with pytest.raises(ValueError, match="dark has no base model"):
        transfer(tmp_path, run, [bright], zero_shot=True)


def test_the_dataset_of_the_training_alone_is_not_a_transfer(source, domains, tmp_path):
    own = read_target("own", domains["dark"], {"layout": "folder"})
    with pytest.raises(ValueError, match=r"trained on own.*--on"):
        transfer(tmp_path, source, [own])
    named_alike = read_target("dark", domains["bright"], {"layout": "folder"})
    with pytest.raises(ValueError, match=r"dark.*another name"):
        transfer(tmp_path, source, [named_alike])


@pytest.mark.parametrize(
    ("settings", "values"),
    [
        ({"overrides": {"learning_rate": 1}}, "learning_rate.*calibration"),
        ({"overrides": {"class_names": ["x"]}}, "class_names"),
        ({"overrides": {"batch_size": 0}}, "batch_size is 0"),
        ({"part": "train"}, "'train'.*auto, all, test"),
    ],
)
def test_wrong_settings_are_refused(settings, values):
    with pytest.raises(ValueError, match=values):
        TransferSettings(**settings)
