"""The contract of every registered method."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from monai_tunevlseg.methods import METHODS, EncoderSizes, PromptLearner, TextContextLearner, with_defaults
from monai_tunevlseg.methods.prompt_learner import CONTEXT_STD

TEXT_DIM, VISION_DIM, EMBED_DIM, NUM_LAYERS = 24, 36, 20, 5
CONTEXTS = {"num_context": 3, "prompt_depth": 4}
ENCODERS = EncoderSizes(
    text_dim=TEXT_DIM,
    text_layers=NUM_LAYERS,
    text_positions=77,
    image_embed_dim=EMBED_DIM,
    vision_dim=VISION_DIM,
    vision_layers=NUM_LAYERS,
)

every_method = pytest.mark.parametrize("name", [name for name in METHODS if issubclass(METHODS[name], PromptLearner)])


def build(name: str, encoders: EncoderSizes = ENCODERS, **arguments) -> PromptLearner:
    """Build a prompt learner with its defaults for encoders of the widths above."""
    own = with_defaults(name, {})
    if "nhead" in own:
        own["nhead"] = next(n for n in range(own["nhead"], 0, -1) if (TEXT_DIM + VISION_DIM) % n == 0)
    torch.manual_seed(0)
    return METHODS[name](encoders, **(own | CONTEXTS | arguments))


def text_context(method: PromptLearner, layer: int, count: int = 2) -> Tensor:
    """Return P_i; image-conditioned methods get one embedding for each of ``count`` sequences."""
    embedding = torch.linspace(-1, 1, count * EMBED_DIM).reshape(count, EMBED_DIM)
    return method.text_context(layer, embedding if method.image_conditioned else None)


def all_contexts(method: PromptLearner) -> list[Tensor]:
    """Every context of every layer, text first."""
    layers = range(method.prompt_depth)
    text = [text_context(method, layer) for layer in layers] if method.prompts_text else []
    return text + ([method.visual_context(layer) for layer in layers] if method.prompts_vision else [])


def context_parameters(method: PromptLearner) -> list[nn.Parameter]:
    found = [parameter for name, parameter in method.named_parameters() if "context" in name]
    assert found, "a method's context vectors are parameters with 'context' in their name"
    return found


@every_method
def test_text_context_has_the_promised_shape(name):
    method = build(name)
    if not method.prompts_text:
        with pytest.raises(NotImplementedError, match=f"{METHODS[name].__name__} .*text encoder"):
            method.text_context(0)
        return
    expected = (2, 3, TEXT_DIM) if method.image_conditioned else (3, TEXT_DIM)
    assert [text_context(method, layer).shape for layer in range(4)] == [expected] * 4


@every_method
def test_visual_context_has_the_promised_shape(name):
    method = build(name)
    if not method.prompts_vision:
        with pytest.raises(NotImplementedError, match=f"{METHODS[name].__name__} .*vision encoder"):
            method.visual_context(0)
        return
    assert [method.visual_context(layer).shape for layer in range(4)] == [(3, VISION_DIM)] * 4


@every_method
def test_flags_agree_with_what_is_implemented(name):
    kind = METHODS[name]
    assert kind.prompts_text == (kind.text_context is not PromptLearner.text_context)
    assert kind.prompts_vision == (kind.visual_context is not PromptLearner.visual_context)
    assert kind.prompts_text or kind.prompts_vision
    assert kind.prompts_text or not kind.image_conditioned


@every_method
def test_only_conditioned_methods_follow_the_image(name):
    method = build(name).eval()
    if not method.prompts_text:
        return
    if method.image_conditioned:
        first, second = text_context(method, 0)
        assert not torch.allclose(first, second)
        with pytest.raises(ValueError, match="image_embedding"):
            method.text_context(0)
    else:
        given = method.text_context(0, torch.ones(2, EMBED_DIM))
        assert torch.equal(given, method.text_context(0))


@every_method
@pytest.mark.parametrize("depth", [1, NUM_LAYERS])
def test_every_depth_up_to_the_number_of_layers_is_taken(name, depth):
    method = build(name, prompt_depth=depth)
    assert method.prompt_depth == depth
    sides = method.prompts_text + method.prompts_vision
    assert len(all_contexts(method)) == depth * sides


@every_method
@pytest.mark.parametrize("depth", [-1, 0, NUM_LAYERS + 1])
def test_other_depths_are_refused_with_the_range(name, depth):
    with pytest.raises(ValueError, match=rf"prompt_depth {depth} .*1\.\.{NUM_LAYERS}"):
        build(name, prompt_depth=depth)


@every_method
@pytest.mark.parametrize("count", [0, -2])
def test_at_least_one_context_vector_is_needed(name, count):
    with pytest.raises(ValueError, match=rf"num_context {count} .*\b1\b"):
        build(name, num_context=count)


@every_method
def test_visual_prompts_that_cannot_be_inserted_are_refused_with_the_reason(name):
    encoders = replace(ENCODERS, vision_dim=None, vision_layers=None, no_visual_prompts="its ears are too small")
    if METHODS[name].prompts_vision:
        with pytest.raises(ValueError, match=f"{METHODS[name].__name__}.*its ears are too small"):
            build(name, encoders)
    else:
        assert text_context(build(name, encoders), 0).shape[-1] == TEXT_DIM


@every_method
def test_the_context_leaves_room_for_a_word(name):
    encoders = replace(ENCODERS, text_positions=32)
    if METHODS[name].prompts_text:
        assert build(name, encoders, num_context=29).num_context == 29
        with pytest.raises(ValueError, match=r"num_context 30 .*32.*29"):
            build(name, encoders, num_context=30)
    else:
        assert build(name, encoders, num_context=30).num_context == 30


@pytest.mark.parametrize(("text", "vision", "layers"), [(True, False, 4), (False, True, 3), (True, True, 3)])
def test_the_shallower_prompted_encoder_limits_the_depth(text, vision, layers):
    encoders = replace(ENCODERS, text_layers=4, vision_layers=3)
    assert encoders.prompted_layers(text, vision) == layers


@every_method
def test_defaults_are_completed_and_unknown_arguments_refused(name):
    completed = with_defaults(name, {"num_context": 9})
    assert completed["num_context"] == 9
    assert {"prompt_depth", "num_context"} <= set(completed)
    assert "encoders" not in completed
    with pytest.raises(ValueError, match=f"'{name}'.*color.*num_context"):
        with_defaults(name, {"color": 1})


def test_the_paper_has_four_context_vectors():
    assert {with_defaults(name, {})["num_context"] for name in METHODS if issubclass(METHODS[name], PromptLearner)} == {
        4
    }


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="'maplee'.*'maple'"):
        with_defaults("maplee", {})


@every_method
def test_contexts_start_from_the_papers_gaussian(name):
    method = build(name, num_context=40, prompt_depth=NUM_LAYERS)
    for parameter in context_parameters(method):
        assert parameter.mean().item() == pytest.approx(0, abs=4 * CONTEXT_STD / parameter.numel() ** 0.5)
        assert parameter.std().item() == pytest.approx(CONTEXT_STD, rel=0.05)
        kurtosis = (parameter / parameter.std()).pow(4).mean().item()
        assert kurtosis == pytest.approx(3, abs=0.5)  # 1.8 for a uniform distribution


@every_method
def test_each_layer_has_context_of_its_own(name):
    method = build(name).eval()
    for layer in range(4):
        method.zero_grad()
        sides = [text_context(method, layer)] if method.prompts_text else []
        sides += [method.visual_context(layer)] if method.prompts_vision else []
        # not a plain sum, which a final LayerNorm would make constant
        sum((side * torch.arange(side.numel()).reshape(side.shape).cos()).sum() for side in sides).backward()
        for parameter in context_parameters(method):
            moved = [bool(row.any()) for row in parameter.grad]
            assert moved == [other == layer for other in range(4)]


@every_method
def test_both_sides_reach_the_context_parameters(name):
    method = build(name).eval()
    for context in all_contexts(method):
        gradients = torch.autograd.grad((context * torch.randn_like(context)).sum(), context_parameters(method))
        assert all(gradient.any() for gradient in gradients)


@every_method
def test_eval_is_deterministic(name):
    method = build(name).eval()
    assert all(map(torch.equal, all_contexts(method), all_contexts(method)))


@every_method
def test_nothing_is_kept_between_calls(name):
    method = build(name).eval()
    kept = [set(vars(module)) for module in method.modules()]
    contexts = all_contexts(method)
    before = [context.detach().clone() for context in contexts]
    for context in reversed(contexts):  # the first call would free a graph shared by two calls
        context.sum().backward()
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.mul_(1.5)
    assert not any(map(torch.equal, before, all_contexts(method)))
    assert [set(vars(module)) for module in method.modules()] == kept
    assert not dict(method.named_buffers())


@every_method
def test_weights_alone_make_two_methods_equal(name):
    torch.manual_seed(1)
    first, second = build(name).eval(), build(name).eval()
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.add_(torch.randn_like(parameter))
    second.load_state_dict(first.state_dict())
    assert all(map(torch.equal, all_contexts(first), all_contexts(second)))


@every_method
def test_a_method_is_short_and_says_what_it_takes(name):
    kind = METHODS[name]
    source = Path(inspect.getsourcefile(kind)).read_text(encoding="utf-8")
    assert len(source.splitlines()) < 150
    for argument in with_defaults(name, {}):
        assert argument in kind.__doc__


@every_method
def test_text_initialized_methods_copy_the_phrase_into_the_first_layer(name):
    if not issubclass(METHODS[name], TextContextLearner):
        assert "context_initializer" not in with_defaults(name, {})
        return
    assert with_defaults(name, {})["context_initializer"] == "a photo of a"
    phrase = torch.randn(3, TEXT_DIM)
    method = build(name)
    gaussian = method.context.detach().clone()
    method.initialize_first_context(phrase)
    assert torch.equal(method.context[0], phrase)
    assert torch.equal(method.context[1:], gaussian[1:])
    phrase.zero_()  # copied, not shared
    assert method.context[0].any()


@pytest.mark.parametrize("tokens", [0, 1, 2, 5])
def test_a_phrase_of_another_length_is_cut_or_leaves_gaussian_vectors(tokens):
    method = build("coop")
    gaussian, phrase = method.context.detach().clone(), torch.randn(tokens, TEXT_DIM)
    method.initialize_first_context(phrase)
    used = min(tokens, 3)
    assert torch.equal(method.context[0, :used], phrase[:used])
    assert torch.equal(method.context[0, used:], gaussian[0, used:])
    assert method.context.requires_grad
