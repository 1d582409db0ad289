import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import decollate_batch
from monai.inferers import SimpleInferer
from monai.transforms import Compose, NormalizeIntensityd, Resize

from monai_tunevlseg.calibration import Calibration, ClassCalibration, PresenceCalibration
from monai_tunevlseg.data import LogitsToLabelMapd, ResizeImageMaskd
from monai_tunevlseg.inferers import PresenceInferer, ResizedInferer, SilencingInferer
from monai_tunevlseg.reductions import entropy_map, label_map
from monai_tunevlseg.segmentation import BACKGROUND_LOGIT, Segmentation


def first_channel(pictures, text=None):
    """A network whose logits are its first input channel."""
    return pictures[:, :1]


MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("size", [(50, 37), (20, 16), (32, 48)])
def test_pictures_are_resized_and_normalized_as_in_training(antialias, size):
    pictures = torch.rand(2, 3, *size).round()  # edges, at which a cubic kernel overshoots
    seen = []

    def network(inputs):
        seen.append(inputs)
        return inputs[:, :1]

    logits = ResizedInferer(image_size=(32, 48), antialias=antialias, mean=MEAN, std=STD)(pictures, network)
    assert logits.shape == (2, 1, *size)
    in_training = Compose(
        [
            ResizeImageMaskd((32, 48), antialias),
            NormalizeIntensityd("image", subtrahend=MEAN, divisor=STD, channel_wise=True),
        ]
    )
    for picture, found in zip(pictures, seen[0], strict=True):
        torch.testing.assert_close(found, in_training({"image": picture, "label": picture[:1]})["image"])


def test_an_input_that_is_normalized_already_is_resized_without_a_limit():
    picture = torch.randn(1, 3, 50, 37) * 3
    seen = []

    def network(inputs):
        seen.append(inputs)
        return inputs[:, :1]

    ResizedInferer(image_size=(32, 48))(picture, network)
    expected = Resize((32, 48), mode="bicubic", align_corners=False)(picture[0]).as_tensor()
    torch.testing.assert_close(seen[0][0], expected)


def test_a_picture_of_the_networks_size_is_left_alone():
    pictures = torch.rand(1, 3, 32, 32)
    assert torch.equal(ResizedInferer(32)(pictures, first_channel), pictures[:, :1])


@settings(max_examples=20, deadline=None)
@given(
    axis=st.integers(0, 2),
    shape=st.tuples(*[st.integers(1, 9)] * 3),
    batch=st.integers(1, 2),
    at_once=st.integers(1, 5),
)
def test_a_volume_equals_its_slices_one_by_one(axis, shape, batch, at_once):
    volume = torch.rand(batch, 3, *shape)
    inferer = ResizedInferer(image_size=8, slice_axis=axis, sw_batch_size=at_once)
    logits = inferer(volume, first_channel)
    expected = torch.stack([inferer(piece, first_channel) for piece in volume.unbind(4 - axis)], dim=4 - axis)
    assert logits.shape == (batch, 1, *shape)
    torch.testing.assert_close(logits, expected)


def test_text_goes_with_its_volume_and_other_arguments_pass_through():
    seen = []

    def network(pictures, scale, text, shift):
        seen.append((len(pictures), text))
        return pictures[:, :1] * scale + shift

    volume = torch.ones(2, 3, 5, 8, 8)
    logits = ResizedInferer(8, sw_batch_size=4)(volume, network, 2.0, text=["liver", ["tumor"]], shift=1.0)
    assert torch.equal(logits, torch.full((2, 1, 5, 8, 8), 3.0))
    assert seen == [(4, ["liver"] * 4), (1, ["liver"]), (4, [["tumor"]] * 4), (1, [["tumor"]])]


@pytest.mark.parametrize(("texts", "slices"), [(["a"], 4), (["a", "b"], 2), (list("abcdefg"), 1)])
def test_many_texts_come_with_few_slices_at_once(texts, slices):
    seen = []

    def network(pictures, text):
        seen.append(len(pictures))
        return pictures[:, :1].repeat(1, len(text[0]), 1, 1)

    logits = ResizedInferer(8, sw_batch_size=4)(torch.rand(1, 3, 8, 8, 8), network, text=[texts])
    assert logits.shape == (1, len(texts), 8, 8, 8)
    assert seen == [slices] * (8 // slices)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 0}, "image_size is 0"),
        ({"image_size": 8, "slice_axis": 3}, "slice_axis is 3"),
        ({"image_size": 8, "sw_batch_size": 0}, "sw_batch_size is 0"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        ResizedInferer(**arguments)


def test_an_input_that_is_not_a_batch_is_refused():
    with pytest.raises(ValueError, match=r"\(3, 8, 8\)"):
        ResizedInferer(8)(torch.rand(3, 8, 8), first_channel)


def noise(pictures, text=None):
    """A network of four classes; each is the most probable one somewhere."""
    return torch.cat([pictures - 0.5, 0.3 - pictures[:, :1]], dim=1)


@pytest.mark.parametrize("shape", [(40, 30), (8, 8), (40, 30, 5)])
def test_reduced_label_maps_are_those_of_all_logits(shape):
    image = torch.rand(2, 3, *shape)
    logits = ResizedInferer(8)(image, noise)
    labels = ResizedInferer(8, reduction=label_map)(image, noise)
    assert labels.dtype == torch.uint8
    for found, expected in zip(labels, logits, strict=True):
        assert torch.equal(found, LogitsToLabelMapd("pred")({"pred": expected})["pred"])
    assert len(labels.unique()) == 5


def test_reduced_entropies_are_those_of_all_logits():
    image = torch.rand(1, 3, 40, 30)
    chance = ResizedInferer(8)(image, noise).double().sigmoid()
    bits = -(chance * chance.log2() + (1 - chance) * (1 - chance).log2()).mean(dim=1, keepdim=True)
    torch.testing.assert_close(ResizedInferer(8, reduction=entropy_map)(image, noise).double(), bits)


@pytest.mark.parametrize(
    "fit", [None, PresenceCalibration(2, -0.5, present=1, absent=1, log_loss=0, log_loss_before=0)]
)
@pytest.mark.parametrize("threshold", [None, 0.5])
@pytest.mark.parametrize("shape", [(8, 8), (5, 8, 8)])
def test_presence_comes_with_results_of_the_same_run(shape, threshold, fit):
    runs = []

    def counted(pictures, text=None, presence=False):
        runs.append(len(pictures))
        return sighted(pictures, text, presence)

    image = torch.rand(2, 3, *shape)
    inferer = ResizedInferer(
        8, reduction=label_map, presence_threshold=threshold, sw_batch_size=4, calibration=Calibration({}, fit)
    )
    results, presence = inferer.with_presence(image, Named(counted))
    slices = shape[:-2]  # the axial ones
    assert sum(runs) == 2 * math.prod(slices)
    assert torch.equal(results, inferer(image, Named(sighted)))
    torch.testing.assert_close(presence, inferer.presence(image, sighted))
    assert presence.shape == (2, *slices, 4)


def test_a_reduction_never_holds_the_logits_of_two_classes_at_full_size():
    sizes = []

    def watching(logits, cuts):
        sizes.extend(tuple(of_class.shape) for of_class in logits)
        return torch.zeros(1, 1, 40, 30)

    ResizedInferer(8, reduction=watching)(torch.rand(1, 3, 40, 30), noise)
    assert sizes == [(1, 1, 40, 30)] * 4


class Named:
    """``noise`` or ``sighted`` with the names of its four classes."""

    class_names = ("red", "green", "blue", "dark")

    def __init__(self, network):
        self.network = network

    def __call__(self, *args, **kwargs):
        return self.network(*args, **kwargs)


def of_class(temperature, threshold):
    return ClassCalibration(temperature, threshold, 1, 0, 0, 0, 0)


CALIBRATION = Calibration({"green": of_class(0.5, 0.6), "dark": of_class(3.0, 0.48), "other": of_class(9.0, 0.9)})
TEMPERATURES = torch.tensor([1, 0.5, 1, 3])[:, None, None]
THRESHOLDS = torch.tensor([0.5, 0.6, 0.5, 0.48])[:, None, None]


@pytest.mark.parametrize("shape", [(40, 30), (8, 8), (40, 30, 5)])
def test_calibrated_label_maps_show_the_class_furthest_above_its_threshold(shape):
    image = torch.rand(2, 3, *shape)
    scaled = ResizedInferer(8, calibration=CALIBRATION)(image, Named(noise))
    steps = (slice(None), *(None,) * (len(shape) - 2))
    plain = ResizedInferer(8)(image, noise)
    torch.testing.assert_close(scaled, plain / TEMPERATURES[steps])
    labels = ResizedInferer(8, reduction=label_map, calibration=CALIBRATION)(image, Named(noise))
    margin, best = (scaled - torch.logit(THRESHOLDS)[steps]).max(dim=1, keepdim=True)
    assert torch.equal(labels, ((best + 1) * (margin > 0)).to(torch.uint8))
    assert not torch.equal(labels, ResizedInferer(8, reduction=label_map)(image, noise))
    entropy = ResizedInferer(8, reduction=entropy_map, calibration=CALIBRATION)(image, Named(noise))
    torch.testing.assert_close(entropy, entropy_map(scaled.split(1, dim=1)))


def test_texts_are_calibrated_wherever_they_stand():
    image = torch.rand(2, 3, 8, 8)
    texts = [["dark", "car", "green", "red"], ["car", "dark", "red", "green"]]
    found = ResizedInferer(8, calibration=CALIBRATION)(image, Named(noise), text=texts)
    divisors = torch.tensor([[3, 1, 0.5, 1], [1, 3, 1, 0.5]])[:, :, None, None]
    torch.testing.assert_close(found, noise(image) / divisors)
    one = ResizedInferer(8, calibration=CALIBRATION)(image, first_channel, text=["dark", "green"])
    torch.testing.assert_close(one, image[:, :1] / torch.tensor([3, 0.5])[:, None, None, None])


def test_an_empty_calibration_changes_nothing():
    image = torch.rand(2, 3, 40, 30)
    for reduction in (None, label_map, entropy_map):
        calibrated = ResizedInferer(8, reduction=reduction, calibration=Calibration({}))(image, Named(noise))
        assert torch.equal(calibrated, ResizedInferer(8, reduction=reduction)(image, noise))


def test_a_temperature_does_not_show_what_presence_silences():
    picture = torch.rand(1, 3, 8, 8) + 0.1
    inferer = ResizedInferer(8, presence_threshold=0.5, calibration=Calibration({"dark": of_class(20.0, 0.5)}))
    assert (inferer(picture, Named(sighted)).sigmoid()[0, 3] == 0).all()


def sighted(pictures, text=None, presence=False):
    """A network of four classes whose presence is the mean brightness, other for each class."""
    logits = noise(pictures)
    brightness = pictures.mean(dim=(1, 2, 3))[:, None] - torch.tensor([0.3, 0.5, 0.7, 2.0])  # (B, 4)
    return Segmentation(logits, 20 * brightness) if presence else logits


def absent(images, threshold=0.5):
    """Which of the four classes each image (..., 3, H, W) of one color does not show, in numpy."""
    brightness = images.double().numpy().mean(axis=(-3, -2, -1))[..., None] - np.array([0.3, 0.5, 0.7, 2.0])
    return 1 / (1 + np.exp(-20 * brightness)) < threshold


def test_training_asks_the_network_for_presence_too():
    pictures = torch.rand(2, 3, 8, 8)
    found = PresenceInferer()(pictures, sighted, text=["a", "b"])
    assert isinstance(found, Segmentation)
    assert torch.equal(found.logits, noise(pictures)) and found.presence.shape == (2, 4)
    items = decollate_batch({"pred": found, "label": torch.ones(2, 4, 8, 8)})  # as MONAI's trainer does
    assert [len(item["pred"]) for item in items] == [3, 3]
    assert torch.equal(items[1]["pred"][0], found.logits[1])


@pytest.mark.parametrize("threshold", [0.5, 0.95])
def test_masks_of_absent_texts_are_empty(threshold):
    pictures = torch.rand(5, 3, 8, 8) * torch.linspace(0.2, 1.6, 5)[:, None, None, None]
    silent = absent(pictures, threshold)
    assert silent.any(axis=0).tolist() == [True] * 4 and not silent.all(axis=0)[0]
    for inferer in (
        SilencingInferer(SimpleInferer(), threshold),
        ResizedInferer(8, presence_threshold=threshold),
    ):
        logits = inferer(pictures, sighted)
        assert (logits.sigmoid()[silent] == 0).all()
        assert torch.equal(logits[~silent], noise(pictures)[~silent])


def test_without_a_threshold_presence_is_not_asked_for():
    pictures = torch.rand(2, 3, 8, 8)
    for inferer in (SilencingInferer(SimpleInferer()), ResizedInferer(8)):
        assert torch.equal(inferer(pictures, noise), noise(pictures))


def test_label_maps_and_entropies_leave_absent_texts_out():
    picture = torch.rand(1, 3, 40, 30) + 0.1  # with a brightness of 0.6 on average
    labels = ResizedInferer(8, reduction=label_map, presence_threshold=0.5)(picture, sighted)
    assert set(labels.unique().tolist()) == {0, 1, 2}
    assert torch.equal(labels, label_map(ResizedInferer(8)(picture, noise)[:, :2].split(1, dim=1)))
    entropy = ResizedInferer(8, reduction=entropy_map, presence_threshold=0.5)(picture, sighted)
    shown = entropy_map(ResizedInferer(8)(picture, noise)[:, :2].split(1, dim=1))
    torch.testing.assert_close(entropy, shown / 2)  # no uncertainty in two of four classes


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_each_slice_of_a_volume_has_its_own_presence(axis):
    volume = torch.rand(2, 3, 5, 6, 7) * torch.linspace(0.2, 1.6, 5 + 2 - axis).view(-1, *[1] * axis)
    inferer = ResizedInferer(8, slice_axis=axis, sw_batch_size=2, presence_threshold=0.5)
    chance = inferer.presence(volume, sighted)
    pieces = volume.unbind(4 - axis)
    expected = torch.stack([inferer.presence(piece, sighted) for piece in pieces], dim=1)
    assert chance.shape == (2, len(pieces), 4)
    torch.testing.assert_close(chance, expected)
    silent = chance < 0.5
    assert silent[..., 0].any() and not silent[..., 0].all()
    empty = (inferer(volume, sighted) < -100).movedim(4 - axis, 1).flatten(3).all(dim=3)
    assert torch.equal(empty, silent)


@pytest.mark.parametrize("size", [(3, 8, 8), (3, 4, 8, 8)])
def test_presence_is_calibrated_where_it_is_used(size):
    fit = PresenceCalibration(2, -1.5, present=1, absent=1, log_loss=0, log_loss_before=0)
    inputs = torch.rand(2, *size, generator=torch.Generator().manual_seed(3))
    raw = ResizedInferer(8).presence(inputs, sighted)
    calibrated = ResizedInferer(8, calibration=Calibration({}, fit)).presence(inputs, sighted)
    torch.testing.assert_close(calibrated, (raw.logit() / 2 - 1.5).sigmoid())
    if len(size) == 3:
        cut = calibrated.median().item()
        expected = raw.logit() / 2 - 1.5 < torch.tensor(cut).logit()
        inferers = (
            ResizedInferer(8, presence_threshold=cut, calibration=Calibration({}, fit)),
            SilencingInferer(SimpleInferer(), cut, Calibration({}, fit)),
        )
        for inferer in inferers:
            logits = inferer(inputs, Named(sighted))
            silent = (logits == BACKGROUND_LOGIT).flatten(2).all(dim=2)
            assert torch.equal(silent, expected) and silent.any() and not silent.all()


def test_the_presence_of_pictures_is_a_probability():
    pictures = torch.rand(3, 3, 8, 8)
    chance = ResizedInferer(8).presence(pictures, sighted, text=[["a"]] * 3)
    np.testing.assert_array_equal(chance < 0.5, absent(pictures))
    assert chance.shape == (3, 4)
    assert chance.min() >= 0 and chance.max() <= 1


@pytest.mark.parametrize("threshold", [-0.1, 1.5, float("nan")])
def test_a_threshold_that_is_not_a_probability_is_named(threshold):
    for build in (lambda: ResizedInferer(8, presence_threshold=threshold), lambda: SilencingInferer(None, threshold)):
        with pytest.raises(ValueError, match=f"presence_threshold is {threshold}"):
            build()


@pytest.mark.parametrize("calibration", [None, CALIBRATION])
@pytest.mark.parametrize("reduction", [None, label_map, entropy_map])
def test_pictures_of_different_sizes_run_together_as_one_by_one(reduction, calibration):
    pictures = [torch.rand(3, *size) for size in ((20, 16), (8, 8), (5, 30))]
    seen = []

    def network(inputs):
        seen.append(len(inputs))
        return noise(inputs)

    inferer = ResizedInferer(8, mean=MEAN, std=STD, reduction=reduction, calibration=calibration)
    found = inferer(pictures, Named(network))
    expected = [inferer(picture[None], Named(network))[0] for picture in pictures]
    assert seen == [3, 1, 1, 1]
    for ours, alone, picture in zip(found, expected, pictures, strict=True):
        assert ours.shape[1:] == picture.shape[1:]
        torch.testing.assert_close(ours, alone)


def test_each_picture_of_a_list_has_its_own_text_and_cut():
    cuts = {"dark": of_class(1.0, 0.6), "green": of_class(1.0, 0.4)}
    pictures, text = [torch.full((3, 4, 6), 0.0), torch.full((3, 9, 5), 0.0)], ["dark", "green"]
    seen = []

    def network(inputs, scale, text):
        seen.append(text)
        return inputs[:, :1] * scale

    found = ResizedInferer(8, reduction=label_map, calibration=Calibration(cuts))(pictures, network, 2.0, text=text)
    assert seen == [text]
    assert [labels.unique().tolist() for labels in found] == [[0], [1]]  # a probability of 0.5 is above 0.4 only


def test_volumes_of_a_list_run_one_by_one_with_their_texts():
    volumes, seen = [torch.rand(3, 2, 9, 5), torch.rand(3, 3, 4, 6)], []

    def network(inputs, text):
        seen.append(text)
        return inputs[:, :1]

    found = ResizedInferer(8)(volumes, network, text=["liver", ["spleen"]])
    assert [tuple(each.shape) for each in found] == [(1, 2, 9, 5), (1, 3, 4, 6)]
    assert seen == [["liver"] * 2, [["spleen"]] * 3]
    for volume, ours in zip(volumes, found, strict=True):
        assert torch.equal(ours, ResizedInferer(8)(volume[None], first_channel)[0])
