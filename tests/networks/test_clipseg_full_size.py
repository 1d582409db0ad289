"""Depths, widths and checkpoint sizes at the published size, ViT-B/16, on the meta device."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from transformers import CLIPSegConfig, CLIPSegForImageSegmentation

from monai_tunevlseg.methods import METHODS, PromptLearner, with_defaults
from monai_tunevlseg.networks import BaseModel, PromptTunedCLIPSeg, load_clipseg

DEEPEST_OF_THE_PAPER = 11


@pytest.fixture(scope="module")
def full_size(tiny_clipseg_dir) -> BaseModel:
    """CLIPSeg at the published size; all but the token embeddings is on the meta device."""
    with torch.device("meta"):
        model = CLIPSegForImageSegmentation(CLIPSegConfig(vision_config={"patch_size": 16}))
    embedding = model.clip.text_model.embeddings.token_embedding.to_empty(device="cpu")
    torch.nn.init.normal_(embedding.weight)
    return replace(load_clipseg(str(tiny_clipseg_dir)), name="CIDAS/clipseg-rd64", model=model, fingerprint="0" * 16)


def learned(network: PromptTunedCLIPSeg) -> int:
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


@pytest.mark.parametrize("method", [name for name in METHODS if issubclass(METHODS[name], PromptLearner)])
def test_every_method_takes_the_deepest_depth_of_the_paper(method, full_size):
    arguments = {"prompt_depth": DEEPEST_OF_THE_PAPER}
    if "context_initializer" in with_defaults(method, {}):
        arguments["context_initializer"] = None  # meta tensors have no values to copy
    with torch.device("meta"):  # the eleven transformer blocks of SharedAttention alone are 430 MB
        network = PromptTunedCLIPSeg(full_size, ["polyp"], method, arguments)
    assert network.method.prompt_depth == DEEPEST_OF_THE_PAPER
    for layer in range(DEEPEST_OF_THE_PAPER):
        if network.method.prompts_vision:
            assert network.method.visual_context(layer).shape == (4, 768)
        if network.method.prompts_text:
            embedding = torch.empty(2, 512, device="meta") if network.method.image_conditioned else None
            assert network.method.text_context(layer, embedding).shape[-2:] == (4, 512)


@pytest.mark.parametrize("method", [name for name in METHODS if METHODS[name].prompts_vision])
def test_visual_context_that_no_tap_would_see_is_refused(method, full_size):
    """The decoder reads layers 3, 6 and 9, the last with the context of layer 10; a twelfth would have no effect."""
    with pytest.raises(ValueError, match=r"prompt_depth 12 .*1\.\.11"), torch.device("meta"):
        PromptTunedCLIPSeg(full_size, ["polyp"], method, {"prompt_depth": 12})


@pytest.mark.parametrize("nhead", [16, 20, 32])
def test_the_papers_numbers_of_heads_divide_the_width(nhead, full_size):
    network = PromptTunedCLIPSeg(full_size, ["polyp"], "shared_attention", {"nhead": nhead})
    assert network.method.context.shape == (1, 4, 1280)


def test_other_numbers_of_heads_are_refused_with_the_width(full_size):
    with pytest.raises(ValueError, match=r"nhead 24 .*width 1280 \(text 512 \+ vision 768\)"):
        PromptTunedCLIPSeg(full_size, ["polyp"], "shared_attention", {"nhead": 24})


@pytest.mark.parametrize("method", ["coop", "cocoop", "maple"])
def test_the_phrase_is_looked_up_at_full_size(method, full_size):
    network = PromptTunedCLIPSeg(full_size, ["polyp"], method, {"prompt_depth": 2})
    assert network.method.context.shape == (2, 4, 512)
    assert network.method.context[0].std() > 0.5  # the embeddings above are normal(0, 1)


def test_the_checkpoint_of_the_deepest_vpt_is_small(full_size, tmp_path):
    network = PromptTunedCLIPSeg(full_size, ["polyp"], "vpt", {"prompt_depth": DEEPEST_OF_THE_PAPER})
    torch.save(network.state_dict(), tmp_path / "model.pt")
    assert learned(network) == 11 * 4 * 768 + (64 * 25 + 1) + 1
    assert 4 * learned(network) < (tmp_path / "model.pt").stat().st_size < 300_000


def test_the_checkpoint_of_coop_is_smaller_still(full_size, tmp_path):
    network = PromptTunedCLIPSeg(full_size, ["polyp"], "coop", {"prompt_depth": 1})
    torch.save(network.state_dict(), tmp_path / "model.pt")
    assert (tmp_path / "model.pt").stat().st_size < 30_000
