"""Emulated bfloat16 rounds arguments and results, but not sums, like the instructions."""

from __future__ import annotations

import pytest
import torch
from bfloat16_dice import ProductsInFloat32
from torch.nn import functional


@pytest.fixture
def operands() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    rows, weight = (torch.randn(6, 500, generator=generator).bfloat16() for _ in range(2))
    return rows.requires_grad_(), weight


def test_products_are_rounded_once(operands):
    rows, weight = operands
    with ProductsInFloat32():
        actual = functional.linear(rows, weight)
        gradient = torch.autograd.grad(actual.sum(), rows)[0]
    assert torch.equal(actual, functional.linear(rows.float(), weight.float()).bfloat16())
    assert torch.equal(gradient, (torch.ones(6, 6) @ weight.float()).bfloat16())


def test_attention_and_its_gradient_equal_float32_up_to_rounding():
    query = torch.randn(1, 2, 40, 16, generator=torch.Generator().manual_seed(0)).bfloat16().requires_grad_()
    wide = query.detach().float().requires_grad_()
    with ProductsInFloat32():
        attended = functional.scaled_dot_product_attention(query, query, query)
        attended.sum().backward()
    expected = functional.scaled_dot_product_attention(wide, wide, wide)
    expected.sum().backward()
    assert attended.dtype == query.grad.dtype == torch.bfloat16
    torch.testing.assert_close(attended.float(), expected, rtol=0, atol=0.02)
    torch.testing.assert_close(query.grad.float(), wide.grad, rtol=0, atol=0.05)


def test_float32_is_unchanged():
    rows = torch.randn(3, 5)
    with ProductsInFloat32():
        assert torch.equal(rows @ rows.T, torch.mm(rows, rows.T))
