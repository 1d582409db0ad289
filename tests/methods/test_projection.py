"""Projections of CoCoOp and MaPLe, with an activation and, as ``linear_projection``, without one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from monai_tunevlseg.methods import METHODS, CoCoOp, EncoderSizes, MaPLe, with_defaults
from monai_tunevlseg.methods._projection import Projection

ENCODERS = EncoderSizes(24, 5, 77, 20, vision_dim=36, vision_layers=5)
projecting = pytest.mark.parametrize(
    "name", [name for name in METHODS if "linear_projection" in with_defaults(name, {})]
)


def deviation_from_affine(projection: nn.Sequential) -> float:
    """Deviation of the map before the LayerNorm from f(x + y) = f(x) + f(y) - f(0)."""
    before_norm = nn.Sequential(*list(projection)[:-1])
    x, y = torch.randn(2, 50, before_norm[0].in_features)
    left = before_norm(x + y) + before_norm(torch.zeros_like(x))
    return (left - before_norm(x) - before_norm(y)).abs().max().item()


def test_linear_projection_is_affine_up_to_the_norm_and_the_other_is_not():
    torch.manual_seed(0)
    assert deviation_from_affine(Projection(8, 12, 4, linear_projection=True)) < 1e-5
    assert deviation_from_affine(Projection(8, 12, 4, linear_projection=False)) > 0.01


def test_linear_projection_has_the_rank_of_the_bottleneck():
    projection = Projection(20, 30, 3, linear_projection=True)
    assert torch.linalg.matrix_rank(projection[1].weight @ projection[0].weight) == 3


@pytest.mark.parametrize("linear_projection", [False, True])
def test_the_layers_are_those_of_the_design(linear_projection):
    layers = list(Projection(8, 12, 4, linear_projection))
    expected = (
        [nn.Linear, nn.Linear, nn.LayerNorm] if linear_projection else [nn.Linear, nn.ReLU, nn.Linear, nn.LayerNorm]
    )
    assert [type(layer) for layer in layers] == expected


@pytest.mark.parametrize("linear_projection", [False, True])
@pytest.mark.parametrize("norm_bias", [False, True])
def test_no_bias_reaches_the_layer_norm(linear_projection, norm_bias):
    *layers, norm = Projection(8, 12, 4, linear_projection, norm_bias)
    linears = [layer for layer in layers if isinstance(layer, nn.Linear)]
    assert [linear.bias is None for linear in linears] == [linear_projection, True]
    assert (norm.bias is not None) == norm_bias


def similarity(vectors: Tensor) -> float:
    """Mean cosine similarity of all pairs of N vectors (N, width)."""
    cosines = nn.functional.cosine_similarity(vectors[:, None], vectors[None], dim=-1)
    count = len(vectors)
    return ((cosines.sum() - count) / (count * count - count)).item()


FULL = EncoderSizes(512, 12, 77, 512, vision_dim=768, vision_layers=12)


@pytest.mark.parametrize(
    ("name", "arguments", "most"),
    [
        ("maple", {}, 0.65),
        ("maple", {"linear_projection": True}, 0.1),
        ("shared_separate", {}, 0.1),
        ("shared_attention", {}, 0.2),
    ],
)
def test_the_contexts_of_a_layer_start_as_different_vectors(name, arguments, most):
    """The reference's MaPLe starts at 0.57, a linear one at -0.01, and one with a bias before the norm at 0.996."""
    values = []
    for seed in range(4):
        torch.manual_seed(seed)
        with torch.no_grad():
            values.append(similarity(METHODS[name](FULL, **arguments).eval().visual_context(0)))
    assert sum(values) / len(values) < most


@pytest.mark.parametrize(("linear_projection", "most"), [(False, 0.45), (True, 0.1)])
def test_the_shifts_of_different_images_start_as_different_vectors(linear_projection, most):
    """The reference's CoCoOp starts at 0.32, a linear one at 0.00."""
    torch.manual_seed(0)
    with torch.no_grad():
        method = CoCoOp(FULL, linear_projection=linear_projection)
        shifts = method.text_context(0, torch.randn(16, 512))[:, 0] - method.context[0, 0]
    assert similarity(shifts) < most


@pytest.mark.parametrize("linear_projection", [False, True])
def test_the_last_step_is_a_layer_norm(linear_projection):
    output = Projection(8, 64, 32, linear_projection)(torch.randn(5, 8) * 100)
    torch.testing.assert_close(output.mean(-1), torch.zeros(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(output.std(-1, correction=0), torch.ones(5), atol=1e-3, rtol=0)


@pytest.mark.parametrize("width", [0, -3])
@projecting
def test_an_empty_bottleneck_is_refused(name, width):
    with pytest.raises(ValueError, match=rf"intermediate_dim {width} .*\b1\b"):
        METHODS[name](ENCODERS, intermediate_dim=width)


@projecting
@pytest.mark.parametrize("linear_projection", [False, True])
def test_every_prompted_layer_has_a_projection_of_its_own(name, linear_projection):
    method = METHODS[name](ENCODERS, prompt_depth=3, intermediate_dim=7, linear_projection=linear_projection)
    projections = [module for module in method.modules() if isinstance(module, Projection)]
    assert len(projections) == 3
    assert all(projection[0].out_features == 7 for projection in projections)
    assert {any(isinstance(layer, nn.ReLU) for layer in projection) for projection in projections} == {
        not linear_projection
    }


def test_cocoop_adds_the_projected_image_to_every_vector():
    torch.manual_seed(0)
    method = CoCoOp(ENCODERS, num_context=3, prompt_depth=2)
    embedding = torch.randn(4, 20)
    for layer in range(2):
        shift = method.text_context(layer, embedding) - method.context[layer]
        for vector in range(3):
            torch.testing.assert_close(shift[:, vector], method.projections[layer](embedding))


def test_maple_projects_its_own_textual_context():
    method = MaPLe(ENCODERS, num_context=3, prompt_depth=2)
    for layer in range(2):
        torch.testing.assert_close(method.visual_context(layer), method.projections[layer](method.text_context(layer)))
