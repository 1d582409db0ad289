"""Masks and presence as means over several texts with the meaning of a text."""

from functools import partial

import numpy as np
import pytest
import torch
from monai.inferers import SimpleInferer

from monai_tunevlseg.calibration import Calibration, PresenceCalibration
from monai_tunevlseg.inferers import AveragingInferer, ResizedInferer, SilencingInferer
from monai_tunevlseg.segmentation import Segmentation


class Worded:
    """A network whose logits are the first channel times the length of a text, and whose presence is its mean."""

    class_names = ("one", "eleven")

    def __init__(self):
        self.texts = []

    def __call__(self, pictures, text=None, presence=False):
        rows = [[row] if isinstance(row, str) else row for row in text or [self.class_names] * len(pictures)]
        self.texts.append(rows)
        lengths = torch.tensor([[float(len(each)) for each in row] for row in rows])
        logits = pictures[:, :1] * lengths[:, :, None, None]
        return Segmentation(logits, logits.mean((2, 3))) if presence else logits


SETS = {"one": ["a", "one", "single"], "eleven": ["11"]}


def mean_logit(pictures, texts):
    """The logit of the mean probability, in numpy."""
    chance = np.mean([1 / (1 + np.exp(-pictures[0].double().numpy() * len(text))) for text in texts], axis=0)
    return torch.from_numpy(np.log(chance / (1 - chance))).float()


def averaging(sets):
    """The inferers that average, with these sets for all of two images."""
    of_images = partial(AveragingInferer(SimpleInferer()), text_sets=[sets, sets])
    return of_images, AveragingInferer(SimpleInferer(), sets), ResizedInferer(8, text_sets=sets)


@pytest.mark.parametrize("inferer", averaging(SETS))
def test_probabilities_are_averaged_over_the_texts_of_a_set(inferer):
    pictures, network = torch.randn(2, 3, 8, 8), Worded()
    logits = inferer(pictures, network, text=[["one", "eleven", "2"], ["2", "2", "one"]])
    assert logits.shape == (2, 3, 8, 8)
    for row, texts in enumerate([["one", "eleven", "2"], ["2", "2", "one"]]):
        for column, text in enumerate(texts):
            expected = mean_logit(pictures[row], {text, *SETS.get(text, ())})
            torch.testing.assert_close(logits[row, column], expected, rtol=1e-4, atol=1e-4)
    assert [len(row) for row in network.texts[0]] == [6, 6]  # one, a, single, eleven, 11, 2; and filled up


def test_class_names_and_single_texts_have_their_sets():
    picture, network = torch.randn(1, 3, 8, 8), Worded()
    inferer = ResizedInferer(8, text_sets=SETS)
    both = inferer(picture, network)
    torch.testing.assert_close(both, inferer(picture, network, text=[["one", "eleven"]]))
    torch.testing.assert_close(both[:, :1], inferer(picture, network, text=["one"]))


def test_presence_is_averaged_too():
    picture, network = torch.randn(1, 3, 8, 8), Worded()
    chance = ResizedInferer(8, text_sets=SETS).presence(picture, network)
    means = [
        np.mean([1 / (1 + np.exp(-picture[0, 0].mean() * len(text))) for text in {name, *SETS[name]}])
        for name in network.class_names
    ]
    np.testing.assert_allclose(chance[0], means, rtol=1e-5)


def test_each_image_can_have_its_own_sets():
    pictures, network = torch.randn(3, 3, 8, 8), Worded()
    sets = [{"one": ["a", "single"]}, {}, {"one": ["another"]}]
    inferer = AveragingInferer(SimpleInferer(), {"one": ["by default"]})
    logits = inferer(pictures, network, text=["one"] * 3, text_sets=sets)
    for row, of_image in enumerate(sets):
        expected = mean_logit(pictures[row], {"one", *of_image.get("one", ["by default"])})
        torch.testing.assert_close(logits[row, 0], expected, rtol=1e-4, atol=1e-4)


CALIBRATION = Calibration({}, PresenceCalibration(2, -3, present=1, absent=1, log_loss=0, log_loss_before=0))


def test_the_presence_of_each_text_is_calibrated_before_the_mean():
    """As the calibration is fitted: of scores 9 and 3, the sigmoids are nearly 1, and the probabilities differ."""
    picture, network = torch.ones(1, 3, 8, 8), Worded()
    sets = {"something": ["one"]}  # scores 9 and 3, logits of presence 1.5 and -1.5
    inferer = ResizedInferer(8, text_sets=sets, calibration=CALIBRATION)
    assert inferer.presence(picture, network, text=["something"]).item() == pytest.approx(0.5)
    assert inferer.with_presence(picture, network, text=["something"])[1].item() == pytest.approx(0.5)
    for threshold, silent in ((0.49, False), (0.51, True)):
        averaging = AveragingInferer(SilencingInferer(SimpleInferer(), threshold), sets, CALIBRATION)
        resized = ResizedInferer(8, presence_threshold=threshold, text_sets=sets, calibration=CALIBRATION)
        for each in (averaging, resized):
            assert (each(picture, network, text=["something"]).sigmoid() == 0).all() == silent


def test_the_mean_presence_of_a_set_silences_its_mean_mask():
    pictures = torch.randn(1, 3, 8, 8) - 0.2
    chance = ResizedInferer(8, text_sets=SETS).presence(pictures, Worded())[0]
    threshold = chance.mean().item()
    silencing = AveragingInferer(SilencingInferer(SimpleInferer(), threshold), SETS)
    logits = silencing(pictures, Worded(), text=[["one", "eleven"]])
    assert [bool((of_class.sigmoid() == 0).all()) for of_class in logits[0]] == (chance < threshold).tolist()
    resized = ResizedInferer(8, presence_threshold=threshold, text_sets=SETS)(pictures, Worded())
    torch.testing.assert_close(logits, resized)


def test_certain_texts_stay_certain():
    inferer = ResizedInferer(2, text_sets=SETS)
    logits = inferer(torch.full((1, 3, 2, 2), 100.0), Worded())
    assert torch.isfinite(logits).all() and (logits > 90).all()
    silent = inferer(torch.full((1, 3, 2, 2), -100.0), Worded())
    assert torch.isfinite(silent).all() and (silent < -90).all()


def one_channel(pictures, text=None):
    """A network that reads no text."""
    return pictures[:, :1]


def test_without_sets_the_network_itself_runs():
    pictures = torch.rand(2, 3, 8, 8)
    for inferer in (*averaging({}), AveragingInferer(SimpleInferer()), ResizedInferer(8)):
        assert torch.equal(inferer(pictures, one_channel), one_channel(pictures))
