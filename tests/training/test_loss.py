import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor
from monai.losses import DiceCELoss

from monai_tunevlseg.data import IGNORE_INDEX
from monai_tunevlseg.segmentation import Segmentation
from monai_tunevlseg.training import NegativeTextLoss, PairDiceCELoss


def expected_loss(logits, label, smooth=1e-5):
    """The paper's loss, pair by pair: 1 * Dice loss + 0.2 * binary cross entropy."""
    losses = []
    for logit, truth in zip(logits.flatten(0, 1), label.flatten(0, 1), strict=True):
        probability = torch.sigmoid(logit)
        dice = (2 * (probability * truth).sum() + smooth) / (probability.sum() + truth.sum() + smooth)
        entropy = torch.nn.functional.binary_cross_entropy(probability, truth)
        losses.append(1 - dice + 0.2 * entropy)
    return torch.stack(losses).mean()


@settings(max_examples=30, deadline=None)
@given(batch=st.integers(1, 3), classes=st.integers(1, 4), seed=st.integers(0, 99))
def test_without_ignored_pixels_it_is_monais_loss_to_the_bit(batch, classes, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(batch, classes, 6, 5, generator=generator, requires_grad=True)
    label = torch.randint(0, 2, logits.shape, generator=generator).float()
    own = PairDiceCELoss()(logits, label)
    monai = DiceCELoss(sigmoid=True, lambda_ce=0.2)(logits.flatten(0, 1)[:, None], label.flatten(0, 1)[:, None])
    assert torch.equal(own, monai)
    gradients = [torch.autograd.grad(loss, logits)[0] for loss in (own, monai)]
    assert torch.equal(*gradients)


@settings(max_examples=30, deadline=None)
@given(batch=st.integers(1, 3), classes=st.integers(1, 4), seed=st.integers(0, 99))
def test_every_class_is_a_binary_problem(batch, classes, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(batch, classes, 6, 5, generator=generator)
    label = torch.randint(0, 2, logits.shape, generator=generator).float()
    torch.testing.assert_close(PairDiceCELoss()(logits, label), expected_loss(logits, label))


def test_float32_also_under_autocast_and_for_half_precision():
    label = torch.ones(1, 1, 300, 300)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = PairDiceCELoss()(torch.zeros(1, 1, 300, 300, dtype=torch.bfloat16), label)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected_loss(torch.zeros(1, 1, 300, 300), label))


def test_metadata_of_the_label_does_not_reach_the_loss():
    loss = PairDiceCELoss()(torch.zeros(1, 1, 4, 4), MetaTensor(torch.ones(1, 1, 4, 4)))
    assert type(loss) is torch.Tensor


def test_the_weights_are_arguments():
    logits, label = torch.randn(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
    both = PairDiceCELoss(lambda_dice=2, lambda_ce=3)(logits, label)
    torch.testing.assert_close(both, 2 * PairDiceCELoss(1, 0)(logits, label) + 3 * PairDiceCELoss(0, 1)(logits, label))


def test_shapes_that_differ_are_named():
    with pytest.raises(ValueError, match=r"\(1, 2, 4, 4\).*\(1, 1, 4, 4\)"):
        PairDiceCELoss()(torch.zeros(1, 2, 4, 4), torch.zeros(1, 1, 4, 4))


def test_ignored_pixels_move_nothing():
    logits = torch.randn(2, 2, 6, 5, requires_grad=True)
    label = torch.randint(0, 2, logits.shape).float()
    label[..., 3:] = IGNORE_INDEX
    loss = PairDiceCELoss()(logits, label)
    loss.backward()
    assert (logits.grad[..., 3:] == 0).all() and (logits.grad[..., :3] != 0).any()
    others = logits.detach().clone()
    others[..., 3:] += 5
    torch.testing.assert_close(PairDiceCELoss()(others, label), loss.detach())
    torch.testing.assert_close(PairDiceCELoss()(logits, label), PairDiceCELoss()(logits[..., :3], label[..., :3]))


@settings(max_examples=30, deadline=None)
@given(shares=st.lists(st.integers(0, 7), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_each_pair_has_the_mean_of_its_own_counted_pixels(shares, seed):
    """The terms of a picture with ignored columns are those of the picture without these columns."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(len(shares), 1, 6, 8, generator=generator)
    label = torch.randint(0, 2, logits.shape, generator=generator).float()
    alone = []
    for number, ignored in enumerate(shares):
        shown = (slice(number, number + 1), ..., slice(ignored, None))
        alone.append(PairDiceCELoss()(logits[shown], label[shown]))
        label[number, ..., :ignored] = IGNORE_INDEX
    torch.testing.assert_close(PairDiceCELoss()(logits, label), torch.stack(alone).mean())


def test_a_picture_whose_pixels_are_all_ignored_has_no_gradient():
    logits = torch.randn(1, 1, 4, 4, requires_grad=True)
    loss = PairDiceCELoss()(logits, torch.full((1, 1, 4, 4), float(IGNORE_INDEX)))
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert (logits.grad == 0).all()


def expected_presence(presence, label):
    """The binary cross entropy of presence pair by pair, in numpy; 0 where the truth is not known."""
    total = 0.0
    for logit, truth in zip(presence.flatten().double(), label.flatten(0, 1), strict=True):
        chance, values = 1 / (1 + np.exp(-logit.item())), set(truth.unique().tolist())
        if 1 in values:
            total -= np.log(chance)
        elif values == {0}:
            total -= np.log(1 - chance)
    return total / presence.numel()


@settings(max_examples=30, deadline=None)
@given(
    kinds=st.lists(st.sets(st.sampled_from([0.0, 1.0, float(IGNORE_INDEX)]), min_size=1), min_size=1, max_size=6),
    weight=st.floats(0.1, 10),
    seed=st.integers(0, 99),
)
def test_presence_is_a_binary_problem_of_each_pair_whose_truth_is_known(kinds, weight, seed):
    generator = torch.Generator().manual_seed(seed)
    logits, presence = (torch.randn(shape, generator=generator) for shape in ((len(kinds), 1, 2, 3), (len(kinds), 1)))
    label = torch.stack([torch.tensor((sorted(kind) * 6)[:6]).view(1, 2, 3) for kind in kinds])
    loss = PairDiceCELoss(lambda_presence=weight)(Segmentation(logits, presence), label)
    expected = PairDiceCELoss()(logits, label) + weight * expected_presence(presence, label)
    torch.testing.assert_close(loss, expected.float())


def test_presence_learns_from_its_own_pairs():
    label = torch.zeros(2, 3, 4, 4)
    label[0, 0, 1, 1], label[1, 1], label[1, 2, 0, 0] = 1, IGNORE_INDEX, IGNORE_INDEX
    presence = torch.zeros(2, 3, requires_grad=True)
    loss = PairDiceCELoss(lambda_presence=1)(Segmentation(torch.zeros_like(label), presence), MetaTensor(label))
    loss.backward()
    assert type(loss) is torch.Tensor
    assert presence.grad.sign().tolist() == [[-1, 1, 1], [1, 0, 0]]


def test_without_a_weight_presence_moves_nothing():
    logits, label = torch.randn(1, 2, 4, 4), torch.ones(1, 2, 4, 4)
    found = Segmentation(logits, torch.randn(1, 2, requires_grad=True))
    loss = PairDiceCELoss()(found, label)
    assert torch.equal(loss, PairDiceCELoss()(logits, label))
    assert not loss.requires_grad


def test_presence_is_float32_also_under_autocast():
    found = Segmentation(torch.zeros(1, 1, 4, 4), torch.full((1, 1), 0.3, dtype=torch.bfloat16))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = PairDiceCELoss(0, 0, 1)(found, torch.ones(1, 1, 4, 4))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected_presence(found.presence, torch.ones(1, 1, 4, 4)))


def test_a_weight_of_presence_needs_a_prediction_of_it():
    with pytest.raises(ValueError, match=r"lambda_presence is 0\.5"):
        PairDiceCELoss(lambda_presence=0.5)(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4))


def absent_entropy(logits):
    """The mean cross entropy of background, in numpy, of each pair."""
    chance = 1 / (1 + np.exp(-logits.detach().double().numpy()))
    return -np.log(1 - chance).mean(axis=(-2, -1))


@pytest.mark.parametrize("weight", [0.5, 1, 3])
@pytest.mark.parametrize("count", [1, 3])
def test_absent_texts_add_their_mean_cross_entropy(weight, count):
    generator = torch.Generator().manual_seed(count)
    logits = torch.randn(2, 1 + count, 6, 5, generator=generator)
    label = torch.zeros_like(logits)
    label[:, 0, 2:4] = 1
    loss = NegativeTextLoss(PairDiceCELoss(), weight)(logits, label)
    expected = expected_loss(logits[:, :1], label[:, :1]) + weight * absent_entropy(logits[:, 1:]).mean()
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected.float())


def test_without_absent_texts_the_loss_is_the_pairs_one():
    logits, label = torch.randn(2, 1, 4, 4), torch.zeros(2, 1, 4, 4)
    label[0, 0, 1] = 1
    assert torch.equal(NegativeTextLoss(PairDiceCELoss(), 3)(logits, label), PairDiceCELoss()(logits, label))


def test_a_text_that_only_fills_up_moves_nothing():
    logits, label = torch.randn(2, 3, 4, 4, requires_grad=True), torch.zeros(2, 3, 4, 4)
    label[0, 2] = IGNORE_INDEX
    loss = NegativeTextLoss(PairDiceCELoss())(logits, label)
    loss.backward()
    assert (logits.grad[0, 2] == 0).all() and (logits.grad[1, 2] != 0).all()
    # all texts weigh the same, whether or not others are missing
    expected = absent_entropy(logits[:, 1:]) * [[1, 0], [1, 1]]
    own = PairDiceCELoss()(logits[:, :1], label[:, :1])
    assert (loss - own).item() == pytest.approx(expected.sum() / 4, rel=1e-5)


def test_ignored_pixels_of_absent_texts_move_nothing():
    logits, label = torch.randn(1, 2, 4, 4, requires_grad=True), torch.zeros(1, 2, 4, 4)
    label[..., 2:] = IGNORE_INDEX
    loss = NegativeTextLoss(PairDiceCELoss())(logits, label)
    loss.backward()
    assert (logits.grad[..., 2:] == 0).all() and (logits.grad[0, 1, :, :2] > 0).all()


def test_absent_texts_teach_presence_with_the_weight_of_the_pairs():
    label = torch.zeros(2, 3, 4, 4)
    label[:, 0, 1, 1] = 1
    found = Segmentation(torch.randn(2, 3, 4, 4), torch.randn(2, 3))
    plain = NegativeTextLoss(PairDiceCELoss(), 2)(found, label)
    loss = NegativeTextLoss(PairDiceCELoss(lambda_presence=0.3), 2)(found, label)
    own, absent = (expected_presence(found.presence[:, part], label[:, part]) for part in (slice(1), slice(1, None)))
    assert (loss - plain).item() == pytest.approx(0.3 * own + 2 * 0.3 * absent, rel=1e-4)


@pytest.mark.parametrize("area", [0.001, 0.01, 0.1])
def test_dice_does_not_unlearn_what_is_segmented_for_an_absent_text_but_cross_entropy_does(area):
    logits = torch.full((1, 2, 100, 100), -6.0)
    logits.view(1, 2, -1)[..., : int(area * 10_000)] = 6
    label = torch.zeros_like(logits)
    label[:, 0] = (logits[:, 0] > 0).float()

    def gradient(loss):
        leaf = logits.clone().requires_grad_()
        loss(leaf, label).backward()
        return leaf.grad[0, 1].sum().item()

    # that of the paper's loss without its cross entropy, whose mean is over two pairs
    assert gradient(PairDiceCELoss(1, 0)) < 1e-6
    assert gradient(NegativeTextLoss(PairDiceCELoss())) == pytest.approx(area + 0.0025 * (1 - area), rel=0.02)
