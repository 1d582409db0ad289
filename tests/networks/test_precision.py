"""Precisions: results close to float32, and checkpoints that do not depend on them."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from network_cases import CASES, NetworkCase
from tiny_methods import tiny_arguments
from torch.nn.modules.batchnorm import _BatchNorm

import monai_tunevlseg.demo
from monai_tunevlseg.networks import BaseModel, PromptTunedNetwork, choose_precision
from monai_tunevlseg.networks.module_copies import copy_modules
from monai_tunevlseg.networks.precision import LIMIT, _cpu_has_bfloat16, cast_frozen, limit_bfloat16

TEXTS = [["polyp", "red circle"], ["lesion", "polyp"]]
REFINED = next(case for case in CASES if case.name == "clipseg_refined")
EMBEDDED = Path(monai_tunevlseg.demo.__file__).parent
"""The folder of the trained tiny models, which are used where there is one: random weights amplify rounding errors."""

rounded_cases = [case for case in CASES if case is not REFINED]
every_network = pytest.mark.parametrize("case", rounded_cases, ids=lambda case: case.name)
every_combination = pytest.mark.parametrize(
    ("case", "method"),
    [(case, method) for case in rounded_cases for method in case.methods],
    ids=lambda value: getattr(value, "name", value),
)


@pytest.fixture(scope="module")
def bases(request) -> dict[str, BaseModel]:
    own = {case.name: EMBEDDED / case.name for case in rounded_cases}
    return {
        case.name: case.load(folder if (folder := own[case.name]).is_dir() else request.getfixturevalue(case.folder))
        for case in rounded_cases
    }


@pytest.fixture
def rounded(bases) -> Callable[..., PromptTunedNetwork]:
    """Build a network in a precision; the same call gives the same learned weights."""

    def get(case: NetworkCase, precision: str, method=None, unfreeze=None) -> PromptTunedNetwork:
        torch.manual_seed(0)
        upsampler = method is not None
        return case.network(
            bases[case.name], ["polyp"], method, tiny_arguments(method), upsampler, unfreeze
        ).compute_in(precision)

    return get


@pytest.fixture
def blobs(bases) -> Callable[[NetworkCase], torch.Tensor]:
    """Get two smooth random images."""

    def get(case: NetworkCase) -> torch.Tensor:
        coarse = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(3))
        return torch.nn.functional.interpolate(coarse, size=bases[case.name].image_size, mode="bicubic")

    return get


def relative_error(actual: torch.Tensor, expected: torch.Tensor) -> float:
    assert actual.shape == expected.shape
    return ((actual - expected).norm() / expected.norm()).item()


@every_combination
def test_logits_of_bf16_are_near_those_of_fp32(case, method, rounded, blobs):
    logits = [rounded(case, precision, method).eval()(blobs(case), TEXTS) for precision in ("fp32", "bf16")]
    assert logits[1].dtype == torch.float32
    assert 0 < relative_error(logits[1], logits[0]) < 0.02 * case.rounding


@every_network
def test_so_are_those_of_the_base_model_as_it_is(case, rounded, blobs):
    logits = [rounded(case, precision).eval()(blobs(case), TEXTS) for precision in ("fp32", "bf16")]
    assert logits[1].dtype == torch.float32
    assert 0 < relative_error(logits[1], logits[0]) < 0.02 * case.rounding


@pytest.mark.parametrize("method", ["coop", "vpt", "lora"])
def test_limited_to_wide_products_bfloat16_rounds_less(method, rounded, blobs, bases):
    (case,) = (case for case in rounded_cases if case.name == "clipseg")
    exact, limited = (rounded(case, precision, method).eval()(blobs(case), TEXTS) for precision in ("fp32", "bf16"))
    network = rounded(case, "fp32", method)
    network.base = copy_modules(network.base)
    limit_bfloat16(network.base, [""])
    everywhere = network.compute_in("bf16").eval()(blobs(case), TEXTS)
    assert relative_error(limited, exact) < 0.75 * relative_error(everywhere, exact)


class Summed(torch.nn.Module):
    """A residual block, whose product takes its input by position or by name."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.product = torch.nn.LayerNorm(4), torch.nn.Linear(4, 4)

    def forward(self, values: torch.Tensor, by_name: bool = False) -> torch.Tensor:
        normed = self.norm(values)
        return values + (self.product(input=normed) if by_name else self.product(normed))


@pytest.mark.parametrize("by_name", [False, True])
def test_modules_outside_of_the_limit_stay_in_float32(by_name):
    base = Summed().requires_grad_(False)
    limit_bfloat16(base, ["product"])
    once = cast_frozen(base, "bf16")
    twice, values = cast_frozen(once, "bf16"), torch.randn(3, 4)
    assert (once.norm.weight is base.norm.weight, once.product.weight.dtype) == (True, torch.bfloat16)
    assert twice.product.weight is once.product.weight and len(twice.product._forward_pre_hooks) == 1
    rounded_weights = [each.bfloat16() for each in (base.norm(values), base.product.weight, base.product.bias)]
    expected = values + torch.nn.functional.linear(*rounded_weights)
    assert expected.dtype == torch.float32
    assert torch.equal(once(values, by_name), expected) and torch.equal(twice(values, by_name), expected)


def test_trained_modules_within_the_limit_stay_in_float32():
    base = Summed()
    limit_bfloat16(base, ["product"])
    values = torch.randn(3, 4)
    assert torch.equal(cast_frozen(base, "bf16")(values), base(values))


def test_every_decoder_computes_in_bfloat16(base_model_of, pictures):
    network = REFINED.network(base_model_of(REFINED), ["polyp"], "maple").compute_in("bf16")
    assert network(pictures(REFINED)).isfinite().all()


@every_combination
def test_what_trains_stays_in_float32_and_learns(case, method, rounded, blobs):
    gradients = []
    for precision in ("fp32", "bf16"):
        network = rounded(case, precision, method).eval()  # no dropout
        network(blobs(case), TEXTS).square().mean().backward()
        trained = [p for p in network.parameters() if p.requires_grad]
        assert {p.dtype for p in trained} == {torch.float32}
        gradients.append(torch.cat([p.grad.flatten() for p in trained]))
    assert relative_error(gradients[1], gradients[0]) < 0.1 * case.rounding


@every_network
def test_the_frozen_base_is_converted_once_and_the_loaded_one_left_alone(case, rounded, bases):
    network, loaded = rounded(case, "bf16"), bases[case.name].model
    parts = [network.base.get_submodule(name) for name in getattr(network.base, LIMIT, [""])]
    cast = [each for part in parts for each in part.modules() if not isinstance(each, _BatchNorm)]
    inside = {id(p) for module in cast for p in module.parameters(recurse=False)}
    for ours, theirs in zip(network.base.parameters(), loaded.parameters(), strict=True):
        assert ours is theirs or (id(ours) in inside and ours.dtype == torch.bfloat16)
        assert theirs.dtype == torch.float32
    assert inside and not any(p.requires_grad for p in network.base.parameters())


@every_network
@pytest.mark.parametrize("precision", ["fp32", "fp16-amp"])
def test_other_precisions_share_the_loaded_base(case, precision, rounded, bases):
    assert rounded(case, precision).base is bases[case.name].model


@every_combination
def test_a_checkpoint_fits_every_precision(case, method, rounded, blobs):
    exact, network = rounded(case, "fp32", method), rounded(case, "bf16", method)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.add_(0.01)
    saved = network.state_dict()
    assert saved.keys() == exact.state_dict().keys()
    assert all(value.dtype == exact.state_dict()[name].dtype for name, value in saved.items())
    assert torch.equal(saved["_extra_state"], exact.state_dict()["_extra_state"])
    exact.load_state_dict(saved)
    with torch.no_grad():
        assert relative_error(network.eval()(blobs(case)), exact.eval()(blobs(case))) < 0.02 * case.rounding


@every_network
@pytest.mark.parametrize("unfreeze", ["decoder", "all"])
def test_a_trained_part_of_the_base_stays_in_float32(case, unfreeze, rounded, blobs):
    exact, network = (rounded(case, precision, None, unfreeze) for precision in ("fp32", "bf16"))
    network(blobs(case), TEXTS).square().mean().backward()
    trained = [p for p in network.parameters() if p.requires_grad]
    assert len(trained) == len([p for p in exact.parameters() if p.requires_grad])
    assert {p.dtype for p in trained} == {torch.float32}
    frozen = {p.dtype for p in network.base.parameters()} - {torch.float32}
    assert frozen == ({torch.bfloat16} if unfreeze == "decoder" else set())
    with torch.no_grad():
        assert relative_error(network(blobs(case), TEXTS), exact(blobs(case), TEXTS)) < 0.02 * case.rounding


@every_network
def test_a_copy_computes_the_same(case, rounded, blobs):
    network = rounded(case, "bf16", "coop").eval()
    with torch.no_grad():  # products in float32 depend on the addresses of tensors in their last bits
        assert relative_error(copy.deepcopy(network)(blobs(case)), network(blobs(case))) < 1e-3


@pytest.mark.parametrize(
    ("precision", "device", "chosen"),
    [
        ("auto", "cpu", "bf16" if _cpu_has_bfloat16() else "fp32"),
        ("auto", "cuda:1", "fp16-amp"),
        ("auto", "mps", "fp32"),
        ("fp32", "cuda", "fp32"),
        ("bf16", "cpu", "bf16"),
    ],
)
def test_the_device_chooses_and_the_log_says_so(precision, device, chosen, caplog):
    with caplog.at_level(logging.INFO):
        assert choose_precision(precision, torch.device(device)) == chosen
    assert f"precision: {chosen}" in caplog.text


def test_a_precision_that_is_none_is_refused(tiny_clipseg: BaseModel):
    with pytest.raises(ValueError, match="'fp8'.*auto, fp32, bf16, fp16-amp"):
        choose_precision("fp8", "cpu")
    with pytest.raises(ValueError, match="'auto'.*[^,] fp32, bf16, fp16-amp"):
        cast_frozen(tiny_clipseg.model, "auto")


def test_automatic_mixed_precision_needs_cuda():
    with pytest.raises(ValueError, match="'fp16-amp'.*'cpu'.*auto, fp32 or bf16"):
        choose_precision("fp16-amp", "cpu")


@pytest.mark.parametrize("supported", [True, False])
def test_bfloat16_is_refused_on_gpus_without_it(supported, monkeypatch):
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: supported or including_emulation
    )
    if supported:
        assert choose_precision("bf16", "cuda") == "bf16"
    else:
        with pytest.raises(ValueError, match=r"'bf16'.*8\.0.*auto or fp32"):
            choose_precision("bf16", "cuda")


@pytest.mark.parametrize(
    ("avx512", "amx", "granted", "chosen"),
    [
        (True, False, False, "bf16"),
        (False, True, True, "bf16"),
        (False, True, False, "fp32"),
        (False, False, True, "fp32"),
    ],
)
def test_amx_counts_when_the_system_grants_it(avx512, amx, granted, chosen, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_init_amx", lambda: granted)
    assert choose_precision("auto", "cpu") == chosen
