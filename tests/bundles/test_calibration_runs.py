"""Calibration at the end of training, and its use in evaluation and inference."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.optimize import minimize_scalar
from small_runs import BUNDLES, raises_inside, run
from torch.nn.functional import binary_cross_entropy_with_logits

from monai_tunevlseg import Segmenter
from monai_tunevlseg.calibration import read_calibration
from monai_tunevlseg.digests import file_digest

NAME = "clipseg_vpt"
GRID = [number / 100 for number in range(1, 100)]


@pytest.fixture
def few_epochs(small_train):
    """Training after which the tiny network's probabilities are neither right nor calibrated."""
    return small_train | {"epochs": 4, "effective_batch_size": 4, "learning_rate": 0.02, "precision": "fp32"}


def calibration_in(folder):
    return json.loads((folder / "models" / "calibration.json").read_text())


def validation_logits(made, folder):
    """Return logits and truth (P, h, w) of the best network on the validation data of a run."""
    network = made.parser.get_parsed_content("unwrapped_network").eval()
    last = {name: value.clone() for name, value in network.state_dict().items()}
    network.load_state_dict(torch.load(folder / "models" / "model.pt", weights_only=True))
    samples = list(made.parser.get_parsed_content("validate#dataset"))
    with torch.no_grad():
        logits = network(torch.stack([sample["image"] for sample in samples]), [sample["text"] for sample in samples])
    network.load_state_dict(last)
    return logits[:, 0].double(), torch.stack([sample["label"][0] for sample in samples]) > 0


def mean_dice(logits, truth, chance):
    masks = logits.sigmoid() > chance
    sizes = masks.sum((1, 2)) + truth.sum((1, 2))
    return float((2 * (masks & truth).sum((1, 2)) / sizes).mean())


def test_training_ends_with_the_calibration_of_the_best_network(few_epochs, tmp_path):
    made = run(NAME, "train", **few_epochs)
    content = calibration_in(tmp_path)
    assert content["checkpoint_digest"] == file_digest(tmp_path / "models" / "model.pt")
    found = content["classes"]["square"]
    logits, truth = validation_logits(made, tmp_path)

    def loss(temperature):
        return binary_cross_entropy_with_logits(logits / temperature, truth.double()).item()

    exact = minimize_scalar(loss, bounds=(0.2, 20), method="bounded")
    assert found["temperature"] == pytest.approx(exact.x, rel=1e-2)
    assert found["log_loss"] == pytest.approx(exact.fun, abs=1e-5)
    assert found["log_loss_before"] == pytest.approx(loss(1), abs=1e-5)
    means = [mean_dice(logits, truth, chance) for chance in GRID]
    assert found["dice"] == pytest.approx(100 * max(means), abs=1e-3)
    assert found["dice_before"] == pytest.approx(100 * means[49], abs=1e-3)
    assert mean_dice(logits / found["temperature"], truth, found["threshold"]) == pytest.approx(max(means), abs=1e-5)
    assert found["pairs"] == 2


def test_the_network_keeps_the_weights_of_the_last_epoch(few_epochs, tmp_path):
    made = run(NAME, "train", **few_epochs | {"learning_rate": 0.5})
    last = torch.load(tmp_path / "models" / "last.pt", weights_only=True)["model"]
    best = torch.load(tmp_path / "models" / "model.pt", weights_only=True)
    now = made.parser.get_parsed_content("unwrapped_network").state_dict()
    assert all(torch.equal(now[name], last[name]) for name in last)
    assert any(not torch.equal(best[name], last[name]) for name in last)


def test_only_validation_data_is_read(few_epochs, dataset_dir, tmp_path):
    """Other test images change nothing; another validation mask changes the calibration."""
    splits = json.loads((dataset_dir / "splits.json").read_text())
    found = {}
    for changed in ("nothing", "test", "val"):
        data = shutil.copytree(dataset_dir, tmp_path / changed / "data")
        for stem in splits.get(changed, []):
            path = data / "masks" / f"{stem}.png"
            Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
        run(NAME, "train", **few_epochs | {"dataset_dir": str(data), "bundle_root": str(tmp_path / changed)})
        found[changed] = calibration_in(tmp_path / changed)["classes"]
    assert found["test"] == found["nothing"]
    assert found["val"]["square"]["temperature"] != found["nothing"]["square"]["temperature"]


def test_evaluation_uses_it_on_request(few_epochs, small, tmp_path):
    run(NAME, "train", **few_epochs)
    fitted = calibration_in(tmp_path)["classes"]["square"]
    metrics = {}
    for option in (None, "off", "auto"):
        own = {} if option is None else {"calibration": option}
        run(NAME, "evaluate", **small | {"precision": "fp32", "split": "val"} | own)
        metrics[option] = json.loads((tmp_path / "eval" / "metrics.json").read_text())
    assert metrics[None] == metrics["off"]
    assert metrics["off"]["dice"] == pytest.approx(fitted["dice_before"], abs=1e-3)
    assert metrics["auto"]["dice"] == pytest.approx(fitted["dice"], abs=1e-3)
    assert metrics["off"]["calibration"]["oracle_dice"] == pytest.approx(fitted["dice"], abs=1e-3)
    assert metrics["off"]["calibration"]["applied"] is None
    used = {"temperature": fitted["temperature"], "threshold": fitted["threshold"]}
    assert metrics["auto"]["calibration"]["applied"] == {"square": used}
    # the two pictures are the data that it was fitted on
    assert fitted["temperature"] != pytest.approx(1, abs=0.05)
    assert metrics["auto"]["calibration"]["brier"] != metrics["off"]["calibration"]["brier"]
    assert metrics["auto"]["calibration"]["classes"]["square"]["pairs"] == 2


def test_inference_uses_it_by_default(few_epochs, small, dataset_dir, tmp_path):
    run(NAME, "train", **few_epochs)
    fitted = read_calibration(tmp_path / "models" / "model.pt").classes["square"]
    own = {key: value for key, value in small.items() if key != "dataset_dir"} | {"precision": "fp32"}
    plain, calibrated = (Segmenter.from_bundle(BUNDLES / NAME, calibration=option, **own) for option in ("off", "auto"))
    picture = dataset_dir / "images" / "00.png"
    before, after = plain.probabilities(picture)[0], calibrated.probabilities(picture)[0]
    logits = plain.reduce_logits(picture, None, lambda logits, cuts: torch.cat(list(logits), dim=1))[0]
    np.testing.assert_allclose(after, 1 / (1 + np.exp(-logits / fitted.temperature)), atol=1e-5)
    np.testing.assert_array_equal(plain.segment(picture)[0], before > 0.5)
    mask = after > fitted.threshold
    assert (calibrated.segment(picture)[0] != mask).mean() < 1e-3  # rounding at the threshold
    assert (mask != (before > 0.5)).any()
    # other texts are not calibrated
    np.testing.assert_array_equal(plain.probabilities(picture, "polyp"), calibrated.probabilities(picture, "polyp"))
    np.testing.assert_array_equal(plain.segment(picture, "polyp"), calibrated.segment(picture, "polyp"))
    for option, expected in (("auto", calibrated), ("off", plain)):
        run(NAME, "inference", **small | {"precision": "fp32", "calibration": option})
        written = np.asarray(Image.open(tmp_path / "output" / "masks" / "00.png")) > 0
        np.testing.assert_array_equal(written, expected.segment(picture)[0])


def test_the_calibration_of_another_checkpoint_is_refused(small, small_train, tmp_path):
    run(NAME, "train", **small_train)
    path = tmp_path / "models" / "model.pt"
    before, state = file_digest(path), torch.load(path, weights_only=True)
    torch.save({name: value if name == "_extra_state" else value + 0.01 for name, value in state.items()}, path)
    for config, own in (("inference", {}), ("evaluate", {"calibration": "auto"})):
        with raises_inside(ValueError, f"calibration.json.*{before}.*model.pt.*{file_digest(path)}"):
            run(NAME, config, **small | own)
    with pytest.raises(ValueError, match="calibration.json"):
        Segmenter.from_bundle(BUNDLES / NAME, **{key: value for key, value in small.items() if key != "dataset_dir"})
    for config in ("inference", "evaluate"):
        run(NAME, config, **small | {"calibration": "off"})


def test_a_new_checkpoint_drops_the_old_calibration(small_train, tmp_path):
    run(NAME, "train", **small_train)
    assert (tmp_path / "models" / "calibration.json").is_file()
    run(NAME, "train", **small_train | {"calibrate": False})
    assert not (tmp_path / "models" / "calibration.json").exists()


@pytest.mark.parametrize("cache", ["memory", "off"])
def test_cached_features_and_neutral_texts_are_calibrated_as_inference_asks(cache, few_epochs, tmp_path):
    own = {"feature_cache": cache, "neutral_text": "bright thing", "num_views": 0, "augmentation_probability": 0}
    made = run("clipseg_coop", "train", **few_epochs | own | {"prompt_depth": 2})
    found = calibration_in(tmp_path)["classes"]
    assert list(found) == ["square", "bright thing"]  # inference.yaml asks for the class by default
    assert found["square"] == found["bright thing"]  # the only class
    logits, truth = validation_logits(made, tmp_path) if cache == "off" else (None, None)
    if cache == "off":
        loss = binary_cross_entropy_with_logits(logits, truth.double()).item()
        assert found["bright thing"]["log_loss_before"] == pytest.approx(loss, abs=1e-5)


@pytest.mark.parametrize(("config", "option", "value"), [("inference", "calibration", "on"), ("train", "calibrate", 3)])
def test_wrong_options_are_named_before_the_run(config, option, value, small):
    with raises_inside(ValueError, f"^{option} is .*{value}"):
        run(NAME, config, **small, **{option: value})
