"""Attention by products against torch's own attention, and the layers of transformers that use it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import PreTrainedConfig
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from monai_tunevlseg.networks import precision, product_attention
from monai_tunevlseg.networks.product_attention import LEAST_KEYS, NAME, attend, use_product_attention

SCALE = 0.3
SHAPES = [(2, 3, 7, 5, 4), (1, 2, 33, 33, 8)]
"""Batch, heads, queries, keys and width."""


def tensors(shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    """Query, key and value, whose keys have a mean far from zero."""
    batch, heads, queries, keys, width = shape
    generator = torch.Generator().manual_seed(0)
    made = [torch.randn(batch, heads, rows, width, generator=generator) for rows in (queries, keys, keys)]
    made[1] += 3
    return [each.to(dtype).requires_grad_() for each in made]


@pytest.fixture(params=[1, 300, 2**21], ids="{} bytes".format)
def block(request, monkeypatch) -> None:
    """Blocks of one row, of some rows or heads, and of everything."""
    monkeypatch.setattr(product_attention, "BLOCK_BYTES", request.param)


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("amx", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_gradients_are_those_of_torch(shape, amx, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    arguments = tensors(shape)
    results = [attend(*arguments, SCALE), scaled_dot_product_attention(*arguments, scale=SCALE)]
    torch.testing.assert_close(*results)
    incoming = torch.randn_like(results[0])
    gradients = [torch.autograd.grad(result, arguments, incoming) for result in results]
    torch.testing.assert_close(*gradients)


@pytest.mark.usefixtures("block")
def test_gradients_are_those_of_finite_differences():
    torch.autograd.gradcheck(lambda *arguments: attend(*arguments, SCALE), tensors((1, 2, 4, 3, 2)))


@pytest.mark.usefixtures("block")
def test_rounding_in_bfloat16_is_that_of_the_type():
    shape = (1, 2, 200, 150, 16)
    exact, rounded = tensors(shape), tensors(shape, torch.bfloat16)
    results = [attend(*rounded, SCALE), scaled_dot_product_attention(*exact, scale=SCALE)]
    incoming = torch.randn(results[0].shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    gradients = [
        torch.autograd.grad(result, given, incoming.to(result.dtype))
        for result, given in zip(results, (rounded, exact), strict=True)
    ]
    for ours, theirs in zip((results[0], *gradients[0]), (results[1], *gradients[1]), strict=True):
        assert ours.dtype == torch.bfloat16
        assert (ours.double() - theirs).norm() < 0.03 * theirs.norm()


@pytest.fixture
def by_products(monkeypatch) -> list[torch.Tensor]:
    """Queries for which the products ran."""
    seen: list[torch.Tensor] = []
    monkeypatch.setattr(product_attention, "attend", lambda query, *rest: seen.append(query) or attend(query, *rest))
    return seen


def attention_function(implementation: str):
    """The function that transformers finds for a model."""
    model = torch.nn.Module()
    model.config = PreTrainedConfig(attn_implementation=implementation)
    use_product_attention(model)
    return ALL_ATTENTION_FUNCTIONS.get_interface(model.config._attn_implementation, None)


MASK = torch.ones(LEAST_KEYS, LEAST_KEYS).tril().bool()


@pytest.mark.parametrize(
    ("settings", "dtype", "length", "products"),
    [
        ({}, torch.bfloat16, LEAST_KEYS, True),
        ({"is_causal": False}, torch.bfloat16, LEAST_KEYS, True),
        ({"is_causal": True}, torch.bfloat16, LEAST_KEYS, False),
        ({"attention_mask": MASK}, torch.bfloat16, LEAST_KEYS, False),
        ({"position_bias": MASK.float()}, torch.bfloat16, LEAST_KEYS, False),
        ({}, torch.float32, LEAST_KEYS, False),
        ({}, torch.bfloat16, LEAST_KEYS - 1, False),
    ],
)
def test_layers_attend_by_products_where_these_suit(settings, dtype, length, products, by_products):
    arguments = [each.detach() for each in tensors((1, 2, length, length, 4), dtype)]
    given = {"attention_mask": None, "scaling": SCALE, "dropout": 0.0} | settings
    layer = SimpleNamespace(is_causal=False)
    bias = given.get("position_bias")
    mask = given["attention_mask"] if bias is None else bias
    exact = [each.double() for each in arguments]
    mask = mask if mask is None or mask.dtype == torch.bool else mask.double()
    expected = scaled_dot_product_attention(
        *exact, attn_mask=mask, is_causal=given.get("is_causal", False), scale=SCALE
    ).transpose(1, 2)
    if bias is not None:
        given["position_bias"] = bias.to(dtype)
    attended, _ = attention_function("sdpa")(layer, *arguments, **given)
    torch.testing.assert_close(attended.double(), expected, rtol=0.02, atol=0.02)
    assert bool(by_products) == products


def test_models_that_chose_another_attention_keep_it():
    assert attention_function("eager") is None


@pytest.mark.parametrize("instructions", [True, False])
def test_the_frozen_copy_of_a_machine_with_bfloat16_attends_by_products(instructions, tiny_clipseg, monkeypatch):
    monkeypatch.setattr(precision, "_cpu_has_bfloat16", lambda: instructions)
    copied = precision.cast_frozen(tiny_clipseg.model, "bf16")
    found = [
        {part.config._attn_implementation for part in model.modules() if hasattr(part, "config")}
        for model in (copied, tiny_clipseg.model)
    ]
    assert found == [{NAME if instructions else "sdpa"}, {"sdpa"}]
    assert copied.state_dict().keys() == tiny_clipseg.model.state_dict().keys()
