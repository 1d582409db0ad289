from __future__ import annotations

import os
import pickle
import sys
import urllib.request

import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor
from monai.transforms import Compose
from monai.utils import set_determinism

from monai_tunevlseg.data import Augmentd


def sample_of(number=1, size=(40, 48)):
    rng = np.random.default_rng(number)
    image = rng.random((3, *size), dtype=np.float32)
    label = np.zeros((1, *size), np.float32)
    label[:, 10:30, 12:36] = 1
    return {"image": MetaTensor(image), "label": MetaTensor(label), "text": "polyp"}


def draws(transform, workers, epochs=2):
    data = Dataset([sample_of(number) for number in range(6)], transform)
    loader = DataLoader(data, batch_size=2, num_workers=workers)
    return [torch.cat([batch["image"].as_tensor() for batch in loader]) for _ in range(epochs)]


@pytest.mark.parametrize("workers", [0, 2])
def test_one_seed_gives_the_same_numbers_and_epochs_differ(workers):
    runs = []
    for seed in (5, 5, 6):
        set_determinism(seed)
        runs.append(draws(Compose([Augmentd(prob=1.0)]), workers))
    set_determinism(None)
    assert all(torch.equal(one, other) for one, other in zip(runs[0], runs[1], strict=True))
    assert not torch.equal(runs[0][0], runs[2][0])
    assert not torch.equal(runs[0][0], runs[0][1])


def test_workers_draw_differently():
    set_determinism(5)
    data = Dataset([sample_of(0)] * 4, Compose([Augmentd(prob=1.0)]))
    images = [batch["image"] for batch in DataLoader(data, batch_size=1, num_workers=2)]
    set_determinism(None)
    assert not any(torch.equal(images[0], other) for other in images[1:])


def test_state_of_a_composition_seeds():
    def run(seed):
        return Compose([Augmentd(prob=1.0)]).set_random_state(seed)(sample_of())["image"]

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))


def test_own_random_state_is_not_disturbed_by_other_generators():
    def run(disturb):
        transform = Augmentd(prob=1.0).set_random_state(3)
        if disturb:
            np.random.random(7)
            torch.rand(7)
        return transform(sample_of())["image"]

    assert torch.equal(run(False), run(True))


def test_transform_survives_being_sent_to_a_worker():
    transform = Augmentd(prob=1.0).set_random_state(3)
    copy = pickle.loads(pickle.dumps(transform))
    assert torch.equal(transform(sample_of())["image"], copy(sample_of())["image"])


@pytest.mark.parametrize(
    "without", [{"brightness": 0, "contrast": 0}, {"scale": 0, "translate": 0, "rotate": 0}], ids=["moved", "lit"]
)
def test_probability_applies_to_each_group_of_changes(without):
    transform = Augmentd(prob=0.2, **without).set_random_state(0)
    original = sample_of(size=(24, 24))
    changed = sum(not torch.equal(transform(original)["image"], original["image"]) for _ in range(400))
    assert 0.15 < changed / 400 < 0.25


def applied(prob, count):
    """Augment the same picture and return the draws of the two changes; None for a change that was not applied."""
    transform = Augmentd(prob=prob).set_random_state(0)
    original = sample_of(size=(24, 24))
    drawn = []
    for _ in range(count):
        transform(original)
        drawn.append([change.params or None for change in transform._pipeline.transforms])
    return drawn


def test_the_two_groups_of_changes_are_applied_independently():
    drawn = [tuple(params is not None for params in call) for call in applied(0.2, 3000)]
    shares = {both: drawn.count(both) / len(drawn) for both in [(True, True), (True, False), (False, True)]}
    assert shares == pytest.approx({(True, True): 0.04, (True, False): 0.16, (False, True): 0.16}, abs=0.02)


def test_shifts_and_light_do_not_depend_on_each_other():
    moved, lit = zip(*applied(1.0, 1500), strict=True)
    geometry = np.array([[p["matrix"][0, 0], p["matrix"][0, 2], p["matrix"][1, 2]] for p in moved])
    light = np.array([[p["alpha"], p["beta"]] for p in lit])
    assert geometry.std(axis=0).min() > 1e-4 and light.std(axis=0).min() > 1e-3
    correlation = np.corrcoef(geometry.T, light.T)[:3, 3:]
    assert np.abs(correlation).max() < 0.1  # four standard deviations of chance


def test_nothing_happens_with_probability_0():
    original = sample_of()
    result = Augmentd(prob=0.0)(original)
    assert torch.equal(result["image"], original["image"])
    assert torch.equal(result["label"], original["label"])


def test_ignored_pixels_stay_ignored_and_move_with_the_mask():
    original = sample_of()
    original["label"][:, 20:, 24:] = 255
    ignored = original | {"label": (original["label"] == 255).float()}
    for seed in range(10):
        label, moved = (
            Augmentd(prob=1.0, rotate=30).set_random_state(seed)(sample)["label"] for sample in (original, ignored)
        )
        assert set(label.unique().tolist()) == {0, 1, 255}
        assert not torch.equal(label, original["label"])
        assert torch.equal((label == 255).float(), moved)


def test_ranges_kinds_and_meta_are_kept():
    transform = Augmentd(prob=1.0, brightness=0.5, contrast=0.5).set_random_state(0)
    original = sample_of()
    original["image"].meta["filename_or_obj"] = "a.png"
    for _ in range(30):
        result = transform(original)
        assert isinstance(result["image"], MetaTensor)
        assert result["image"].meta["filename_or_obj"] == "a.png"
        assert (result["image"].dtype, result["label"].dtype) == (torch.float32, torch.float32)
        assert (result["image"].shape, result["label"].shape) == ((3, 40, 48), (1, 40, 48))
        assert result["image"].min() >= 0 and result["image"].max() <= 1
        assert set(result["label"].unique().tolist()) == {0, 1}
    assert result["text"] == "polyp"


def test_mask_moves_with_the_image():
    transform = Augmentd(prob=1.0, scale=0.1, translate=0.1, rotate=20, brightness=0, contrast=0).set_random_state(0)
    label = torch.zeros(1, 96, 96)
    label[:, 30:60, 20:80] = 1
    for _ in range(20):
        result = transform({"image": MetaTensor(label.repeat(3, 1, 1)), "label": MetaTensor(label)})
        # only pixels on the contour may differ between linear and nearest resampling
        assert ((result["image"][:1] > 0.5) != (result["label"] > 0)).float().mean() < 0.01
        assert not torch.equal(result["label"], label)


def test_border_is_mirrored_in_image_and_mask():
    transform = Augmentd(prob=1.0, scale=0, translate=0.3, rotate=0, brightness=0, contrast=0).set_random_state(0)
    white = {"image": MetaTensor(torch.ones(3, 32, 32)), "label": MetaTensor(torch.ones(1, 32, 32))}
    for _ in range(5):
        result = transform(white)
        assert result["image"].min() > 0.999
        assert result["label"].min() == 1


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"prob": 1.1}, "prob.* 1.1"),
        ({"scale": 1}, r"scale.* 1\."),
        ({"brightness": -0.1}, "brightness.* -0.1"),
        ({"keys": "image"}, "keys.*image"),
    ],
)
def test_wrong_arguments_are_refused(arguments, reason):
    with pytest.raises(ValueError, match=reason):
        Augmentd(**arguments)


@pytest.mark.parametrize(("setting", "asks"), [(None, False), ("0", True)])
def test_albumentations_asks_no_server(monkeypatch, setting, asks):
    for name in [name for name in sys.modules if name.split(".")[0] == "albumentations"]:
        monkeypatch.delitem(sys.modules, name)
    asked = []

    def record(self, url, *_, **__):
        asked.append(url)
        raise OSError("no network in tests")

    monkeypatch.setattr(urllib.request.OpenerDirector, "open", record)
    # set and removed so that monkeypatch restores the previous value
    monkeypatch.setenv("NO_ALBUMENTATIONS_UPDATE", setting or "")
    if setting is None:
        del os.environ["NO_ALBUMENTATIONS_UPDATE"]
    if asks:  # a user may ask for it, which also shows that this test detects it
        with pytest.warns(UserWarning, match="fetching version"):
            Augmentd()
    else:
        Augmentd()
    assert bool(asked) is asks
