"""The matrix product against torch's transposed convolution."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from monai_tunevlseg.networks.clipseg.transposed_convolution import NonOverlappingConvTranspose2d


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("channels", "kernel"), [(1, 16), (3, 4), (2, 1)])
def test_blocks_are_those_of_the_convolution(channels, kernel, bias):
    torch.manual_seed(0)
    convolution = nn.ConvTranspose2d(8, channels, kernel, stride=kernel, bias=bias)
    features = torch.randn(2, 8, 5, 3, requires_grad=True)
    blocks = NonOverlappingConvTranspose2d(convolution)
    outputs = [module(features) for module in (convolution, blocks)]
    torch.testing.assert_close(outputs[1], outputs[0])
    gradients = [torch.autograd.grad(output.square().sum(), [features, convolution.weight]) for output in outputs]
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-4)
    assert blocks.state_dict().keys() == convolution.state_dict().keys()
