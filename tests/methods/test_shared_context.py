"""The two methods with one unified context for both encoders."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from monai_tunevlseg.methods import EncoderSizes, SharedAttention, SharedSeparate

ENCODERS = EncoderSizes(24, 5, 77, 20, vision_dim=36, vision_layers=5)


def shared_attention(**arguments) -> SharedAttention:
    torch.manual_seed(0)
    arguments = {"num_context": 4, "prompt_depth": 2, "nhead": 6, "dim_feedforward": 32} | arguments
    return SharedAttention(ENCODERS, **arguments).eval()


@pytest.mark.parametrize("nhead", [0, -4, 7, 16, 61])
def test_heads_must_divide_the_width(nhead):
    with pytest.raises(ValueError, match=rf"nhead {nhead} .*\b60\b.*\b24\b.*\b36\b"):
        shared_attention(nhead=nhead)


def test_an_impossible_dropout_is_refused():
    with pytest.raises(ValueError, match="dropout"):
        shared_attention(dropout=1.5)


@pytest.mark.parametrize("norm_first", [False, True])
def test_the_block_is_torchs_transformer_layer_over_the_vectors(norm_first):
    method = shared_attention(norm_first=norm_first)
    for layer in range(2):
        reference = nn.TransformerEncoderLayer(60, 6, 32, batch_first=True, norm_first=norm_first).eval()
        reference.load_state_dict(method.blocks[layer].state_dict())
        expected = reference(method.context[layer][None])[0]
        torch.testing.assert_close(method.text_context(layer), expected[:, :24])
        torch.testing.assert_close(method.visual_context(layer), expected[:, 24:])


def test_the_vectors_of_one_layer_attend_to_each_other():
    method = shared_attention()
    before = method.visual_context(0).detach()
    with torch.no_grad():
        method.context[0, 3] += 1
    assert (method.visual_context(0) - before)[:3].abs().max() > 1e-5


def test_attention_has_no_order():
    method = shared_attention()
    before, order = method.text_context(1).detach(), torch.tensor([2, 0, 3, 1])
    with torch.no_grad():
        method.context[1] = method.context[1, order]
    torch.testing.assert_close(method.text_context(1), before[order])


def test_dropout_acts_in_training_only():
    method = shared_attention(dropout=0.5)
    assert torch.equal(method.text_context(0), method.text_context(0))
    method.train()
    assert not torch.equal(method.text_context(0), method.text_context(0))


@pytest.mark.parametrize("training", [True, False])
def test_one_evaluation_runs_each_block_once_for_both_sides(training):
    method, runs = shared_attention(dropout=0.5).train(training), []
    for number, block in enumerate(method.blocks):
        block.register_forward_hook(lambda *_, number=number: runs.append(number))
    evaluated = method.precomputed()
    contexts = [torch.cat([evaluated.text_context(i), evaluated.visual_context(i)], dim=1) for i in (0, 1, 0, 1)]
    assert runs == [0, 1]
    assert torch.equal(contexts[0], contexts[2])
    assert torch.equal(contexts[1], contexts[3])
    assert method.unified is None, "nothing is kept"
    if training:
        again = method.precomputed()
        assert not torch.equal(again.text_context(0), evaluated.text_context(0))
    else:
        assert torch.equal(method.visual_context(1), evaluated.visual_context(1))


def test_gradients_of_both_sides_add_up_in_one_evaluation():
    method = shared_attention().double()
    evaluated = method.precomputed()
    (evaluated.text_context(0).sum() + evaluated.visual_context(0).square().sum()).backward()
    found = method.context.grad.clone()
    method.zero_grad()
    method.text_context(0).sum().backward()
    method.visual_context(0).square().sum().backward()
    torch.testing.assert_close(found, method.context.grad)


@pytest.mark.parametrize("shared_dim", [0, -1])
def test_an_empty_shared_space_is_refused(shared_dim):
    with pytest.raises(ValueError, match=rf"shared_dim {shared_dim} .*\b1\b"):
        SharedSeparate(ENCODERS, shared_dim=shared_dim)


def test_shared_separate_maps_each_vector_on_its_own():
    torch.manual_seed(0)
    method = SharedSeparate(ENCODERS, num_context=4, prompt_depth=3, shared_dim=7)
    assert method.context.shape == (3, 4, 7)
    for maps, context, width in (
        (method.text_maps, method.text_context, 24),
        (method.vision_maps, method.visual_context, 36),
    ):
        assert [[type(step) for step in steps] for steps in maps] == [[nn.Linear, nn.LayerNorm]] * 3
        linear, norm = maps[1]
        for vector in range(4):
            assert linear.bias is None
            raw = linear.weight @ method.context[1, vector]
            normed = (raw - raw.mean()) / (raw.var(correction=0) + norm.eps).sqrt()
            torch.testing.assert_close(context(1)[vector], normed)
            assert raw.shape == (width,)
