"""The residual upsampler, value by value."""

from __future__ import annotations

import naive_clipseg as naive
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from monai_tunevlseg.networks import Upsampler


def inputs(channels: int, *size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of a quarter of the size, and logits."""
    torch.manual_seed(0)
    features = torch.randn(2, channels, *(side // 4 for side in size), dtype=torch.float64)
    return features, torch.randn(2, 1, *size, dtype=torch.float64)


@pytest.mark.parametrize("size", [(16, 16), (12, 20), (4, 8)])
def test_bilinear_then_five_by_five_then_the_mix(size):
    upsampler = Upsampler(6).double()
    features, logits = inputs(6, *size)
    with torch.no_grad():
        upsampler.residual_factor.fill_(0.3)
        actual = upsampler(features, logits)
        for number in range(2):
            expected = naive.upsampled(upsampler, features[number], logits[number])
            torch.testing.assert_close(actual[number], expected)


def test_the_mix_starts_in_the_middle():
    upsampler = Upsampler(6).double()
    features, logits = inputs(6, 8, 8)
    assert upsampler.residual_factor.item() == 0.5
    with torch.no_grad():
        both = upsampler(features, logits)
        upsampled_only = 2 * both - logits
        torch.testing.assert_close(upsampler(features, upsampled_only), upsampled_only)


def test_a_factor_of_zero_leaves_the_decoder_and_one_leaves_the_upsampler():
    upsampler = Upsampler(6).double()
    features, logits = inputs(6, 8, 8)
    with torch.no_grad():
        upsampler.residual_factor.fill_(0)
        assert torch.equal(upsampler(features, logits), logits)
        upsampler.residual_factor.fill_(1)
        torch.testing.assert_close(upsampler(features, logits), upsampler(features, torch.zeros_like(logits)))


def test_a_constant_picture_stays_constant_up_to_the_border():
    """Replicate padding keeps the border; zero padding would darken it."""
    upsampler = Upsampler(6)
    with torch.no_grad():
        upsampler.residual_factor.fill_(1)
        output = upsampler(torch.ones(1, 6, 3, 3), torch.zeros(1, 1, 12, 12))
    assert (output.max() - output.min()).abs() < 1e-5


@pytest.mark.parametrize(("arguments", "weights"), [((64,), 64 * 25 + 2), ((512, 64), 513 * 64 + 64 * 25 + 2)])
def test_the_number_of_weights_is_that_of_the_design(arguments, weights):
    assert sum(parameter.numel() for parameter in Upsampler(*arguments).parameters()) == weights


def test_features_are_reduced_in_front_of_the_upsampling_where_asked():
    upsampler = Upsampler(6, 3).double()
    features, logits = inputs(6, 8, 8)
    plain = Upsampler(3).double()
    plain.load_state_dict({k: v for k, v in upsampler.state_dict().items() if not k.startswith("reduce")})
    reduced = torch.einsum("dc,bchw->bdhw", upsampler.reduce.weight[:, :, 0, 0], features)
    expected = plain(reduced + upsampler.reduce.bias.view(1, -1, 1, 1), logits)
    torch.testing.assert_close(upsampler(features, logits), expected)


def test_every_weight_gets_a_gradient():
    upsampler = Upsampler(6, 3).double()
    upsampler(*inputs(6, 8, 8)).square().sum().backward()
    assert all(parameter.grad.any() for parameter in upsampler.parameters())


def in_the_obvious_order(upsampler: Upsampler, features: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """Upsample all channels, pad, convolve and mix, as in section 5 of the paper."""
    size = logits.shape[-2:]
    upsampled = functional.interpolate(upsampler.reduce(features), size=size, mode="bilinear", align_corners=False)
    factor = upsampler.residual_factor
    return (1 - factor) * logits + factor * upsampler.convolution(upsampled)


sides = st.integers(1, 7)
upsampled_sides = st.integers(1, 40)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3), st.tuples(sides, sides), st.tuples(upsampled_sides, upsampled_sides))
def test_the_order_of_its_steps_changes_neither_output_nor_gradients(number, low, high):
    """At any scale, whole or not, up or down, with odd sides and sides of one."""
    torch.manual_seed(0)
    upsampler = Upsampler(6, 4).double()
    features = torch.randn(number, 6, *low, dtype=torch.float64, requires_grad=True)
    logits = torch.randn(number, 1, *high, dtype=torch.float64, requires_grad=True)
    inputs = [features, logits, *upsampler.parameters()]
    actual, expected = upsampler(features, logits), in_the_obvious_order(upsampler, features, logits)
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)
    gradient = torch.randn_like(actual)
    for ours, theirs in zip(
        torch.autograd.grad(actual, inputs, gradient), torch.autograd.grad(expected, inputs, gradient), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("side", [22, 26], ids=["clipseg", "cris"])
def test_both_orders_agree_at_full_size_in_float32(side):
    torch.manual_seed(0)
    upsampler, features = Upsampler(64), torch.randn(1, 64, side, side)
    logits = torch.randn(1, 1, 16 * side, 16 * side)
    with torch.no_grad():
        actual, expected = upsampler(features, logits), in_the_obvious_order(upsampler, features, logits)
    assert (actual - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_its_output_is_float32_in_every_surrounding_precision(dtype):
    upsampler, (features, logits) = Upsampler(6, 3), inputs(6, 8, 8)
    with torch.autocast("cpu", dtype=dtype):
        output = upsampler(features.to(dtype), logits.to(dtype))
    assert output.dtype == torch.float32
    assert torch.equal(output, upsampler(features.to(dtype).float(), logits.to(dtype).float()))
