"""QuickGELU, with and without gradients."""

from __future__ import annotations

import pytest
import torch

from monai_tunevlseg.networks.quick_gelu import QuickGELU


@pytest.mark.parametrize("trains", [True, False])
def test_values_are_those_of_the_formula_and_the_input_stays(trains):
    hidden = torch.linspace(-8, 8, 101, dtype=torch.float64)
    given = hidden.clone().requires_grad_(trains)
    torch.testing.assert_close(QuickGELU()(given).detach(), hidden * torch.sigmoid(1.702 * hidden))
    assert torch.equal(given, hidden)


def test_gradients_are_those_of_finite_differences():
    given = torch.linspace(-3, 3, 7, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(QuickGELU(), given)
