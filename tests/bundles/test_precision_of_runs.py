"""``--precision`` of a bundle's run."""

from __future__ import annotations

import pytest
import torch
from small_runs import raises_inside, run, workflow


@pytest.mark.parametrize("name", ["clipseg_vpt", "cris_coop"])
def test_what_was_trained_in_bf16_is_used_in_fp32(name, small, small_train):
    trained = run(name, "train", **small_train, precision="bf16").parser.get_parsed_content("network")
    assert torch.bfloat16 in {parameter.dtype for parameter in trained.base.parameters()}
    used = run(name, "inference", **small, precision="fp32").parser.get_parsed_content("network")
    assert {parameter.dtype for parameter in used.base.parameters()} == {torch.float32}
    assert torch.equal(used.upsampler.convolution.weight, trained.upsampler.convolution.weight)


def test_automatic_mixed_precision_is_refused_where_there_is_no_cuda(small_train):
    with raises_inside(ValueError, "precision 'fp16-amp' needs CUDA"):
        workflow("clipseg_vpt", "train", "train", **small_train, precision="fp16-amp").run()


@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_features_are_kept_in_bfloat16_too(kind, small_train):
    made = run("clipseg_coop", "train", **small_train, precision="bf16", feature_cache=kind)
    assert made.parser.get_parsed_content("network").learner.context.isfinite().all()


@pytest.mark.parametrize("wanted", [True, False])
def test_layers_are_compiled_where_asked_for(wanted, small):
    network = workflow("clipseg_vpt", "inference", **small, compile=wanted).parser.get_parsed_content("network")
    compiled = [layer._compiled_call_impl is not None for layer in network.base.decoder.layers]
    assert compiled == [wanted] * len(compiled)
