"""CLIPSeg: equal to transformers without prompts, and to a naive reference with them."""

from __future__ import annotations

import copy
from dataclasses import replace

import naive_clipseg as naive
import pytest
import torch
from exact_networks import exact, relative_error
from network_cases import CASES, NetworkCase
from tiny_methods import tiny_arguments

from monai_tunevlseg.methods import METHODS
from monai_tunevlseg.networks import PromptTunedCLIPSeg
from monai_tunevlseg.networks.clipseg.network import encode_image, encode_text

CLIPSEG, REFINED = (case for case in CASES if case.network is PromptTunedCLIPSeg)
TEXTS = ["polyp", "a photo of a red circle", "lesion!"]

both_decoders = pytest.mark.parametrize("case", [CLIPSEG, REFINED], ids=lambda case: case.name)
every_method = pytest.mark.parametrize("method", CLIPSEG.prompt_learners)
every_depth = pytest.mark.parametrize("depth", [1, 2, 4], ids=["first", "middle", "all"])


def contexts_of(network: PromptTunedCLIPSeg, image: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """P_0 .. P_{J-1} and P~_0 .. P~_{J-1} for one image (3, H, W)."""
    method = network.method
    if method is None:
        return [], []
    layers, text = range(method.prompt_depth), []
    if method.image_conditioned:
        embedding = naive.image_embedding(network.base, image)[None]
        text = [method.text_context(layer, embedding)[0] for layer in layers]
    elif method.prompts_text:
        text = [method.text_context(layer) for layer in layers]
    return text, [method.visual_context(layer) for layer in layers] if method.prompts_vision else []


def naive_logits(network, image, text: str, faults: naive.Faults = naive.NONE) -> torch.Tensor:
    """(H, W) for one image (3, H, W)."""
    token_ids = network.tokenizer(text)["input_ids"]
    return naive.segment(network.base, image, token_ids, *contexts_of(network, image), network.upsampler, faults)


# --- without prompts: transformers ---


@both_decoders
@pytest.mark.parametrize("scale", [1, 2, 3])
def test_zero_shot_logits_are_those_of_transformers(case, scale, build, pictures):
    network = build(case, None, upsampler=False, class_names=TEXTS).eval()
    image = pictures(case, 2, case.size * scale, case.size * scale)
    tokens = network.tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        logits = network(image)
        for number in range(2):
            expected = network.base(pixel_values=image[number].expand(3, -1, -1, -1), **tokens).logits
            assert relative_error(logits[number], expected) < 1e-5
        single = network(image[:1], ["lesion!"])
        expected = network.base(pixel_values=image[:1], **network.tokenizer("lesion!", return_tensors="pt")).logits
        assert relative_error(single[0, 0], expected.squeeze()) < 1e-5


@both_decoders
@pytest.mark.parametrize("eos", [2, "the tokenizer's"])
def test_the_end_of_text_of_old_and_new_configurations_is_understood(case, eos, build, base_model_of, pictures):
    """The released config has EOS token 2, but EOS is the last token of the vocabulary."""
    base = base_model_of(case)
    assert base.model.clip.text_model.eos_token_id == 2
    published = replace(base, model=copy.deepcopy(base.model))
    published.model.clip.text_model.eos_token_id = eos if eos == 2 else base.tokenizer.eos_token_id
    network = build(case, None, upsampler=False, base_model=published).eval()
    tokens = network.tokenizer(["red circle", "polyp"], padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = published.model(pixel_values=pictures(case), **tokens).logits
        assert relative_error(network(pictures(case), ["red circle", "polyp"])[:, 0], expected) < 1e-5


@both_decoders
@pytest.mark.parametrize(("rows", "columns"), [(4, 3), (2, 5), (1, 1)])
def test_zero_shot_logits_of_any_size_are_those_of_the_reference(case, rows, columns, build, pictures):
    """Transformers' decoder supports square images alone."""
    network = exact(build(case, None, upsampler=False))
    image = pictures(case, 1, rows * case.divisor, columns * case.divisor).double()
    expected = naive_logits(network, image[0], "red circle")
    assert relative_error(network(image, ["red circle"])[0, 0], expected) < 1e-9


# --- with prompts: the naive reference ---


@pytest.mark.parametrize("method", [name for name in CLIPSEG.methods if METHODS[name].prompts_text])
@every_depth
def test_the_prompted_text_encoder_is_that_of_the_equations(method, depth, build, pictures):
    network = exact(build(CLIPSEG, method, prompt_depth=depth, num_context=3))
    images = pictures(CLIPSEG, 2, 16, 16).double()
    token_ids = network.tokenize(["polyp", "a photo of a red circle"]).ids
    given = None
    if network.method.image_conditioned:
        given = torch.stack([naive.image_embedding(network.base, image) for image in images])
    eos = network.tokenizer.eos_token_id
    (pooled,) = encode_text(network.base.clip.text_model, token_ids, eos, network.method, given)
    actual = network.base.clip.text_projection(pooled)
    for row, (tokens, image) in enumerate(zip(token_ids.tolist(), images, strict=True)):
        expected = naive.text_embedding(network.base, tokens, contexts_of(network, image)[0])
        assert relative_error(actual[row], expected) < 1e-9


@pytest.mark.parametrize("method", [None, *(name for name in CLIPSEG.methods if METHODS[name].prompts_vision)])
@every_depth
def test_the_prompted_vision_encoder_is_that_of_the_equations(method, depth, build, pictures):
    network = exact(build(CLIPSEG, method, **({"prompt_depth": depth, "num_context": 3} if method else {})))
    images = pictures(CLIPSEG, 2, 16, 24).double()
    layers = len(network.base.clip.vision_model.encoder.layers)
    states = encode_image(network.base.clip.vision_model, images, network.method, layers - 1)
    assert len(states) == layers
    for number, image in enumerate(images):
        expected, end = naive.vision_states(network.base, image, contexts_of(network, image)[1])
        assert end == 1 + 2 * 3
        for state, reference in zip(states, expected, strict=True):
            assert relative_error(state[number], torch.stack(reference)) < 1e-9


@every_method
@pytest.mark.parametrize(
    ("case", "depth", "upsampler"),
    [(CLIPSEG, 1, True), (REFINED, 2, True), (CLIPSEG, 4, False)],
    ids=["first", "middle-refined", "all-no_upsampler"],
)
def test_the_whole_network_is_that_of_the_reference(case, method, depth, upsampler, build, pictures):
    network = exact(build(case, method, upsampler, prompt_depth=depth))
    image = pictures(case, 1, case.divisor * 2, case.divisor * 3).double()
    expected = torch.stack([naive_logits(network, image[0], text) for text in network.class_names])
    assert relative_error(network(image)[0], expected) < 1e-9


def test_every_image_and_text_of_a_batch_is_that_of_the_reference(build, pictures):
    network = exact(build(CLIPSEG, "cocoop", prompt_depth=2))
    images = pictures(CLIPSEG, 2, 16, 16).double()
    texts = [["polyp", "a red circle"], ["lesion", "polyp"]]
    logits = network(images, texts)
    for number, row in enumerate(texts):
        for column, text in enumerate(row):
            assert relative_error(logits[number, column], naive_logits(network, images[number], text)) < 1e-9


ONE_FAULT_EACH = [
    ("coop", naive.Faults(not_causal=True)),
    ("coop", naive.Faults(context_before_sos=True)),
    ("coop", naive.Faults(context_reversed=True)),
    ("coop", naive.Faults(eos_not_moved=True)),
    ("coop", naive.Faults(layers_too_deep=1)),
    ("coop", naive.Faults(layers_too_deep=-1)),
    ("vpt", naive.Faults(context_after_norm=True)),
    ("vpt", naive.Faults(layers_too_deep=1)),
    ("vpt", naive.Faults(layers_too_deep=-1)),
    ("vpt", naive.Faults(taps_before_replacement=True)),
    ("vpt", naive.Faults(context_not_through_decoder=True)),
    ("vpt", naive.Faults(context_before_patches=True)),
    ("vpt", naive.Faults(zero_padding=True)),
]


def fault_name(fault: naive.Faults) -> str:
    return next(f"{name}={value}" for name, value in vars(fault).items() if value)


@pytest.mark.parametrize(
    ("method", "fault"), ONE_FAULT_EACH, ids=[f"{method}-{fault_name(fault)}" for method, fault in ONE_FAULT_EACH]
)
def test_the_comparison_notices_a_fault(method, fault, build, pictures):
    network = exact(build(CLIPSEG, method, prompt_depth=3))
    image = pictures(CLIPSEG, 1, 16, 24).double()
    faulty = naive_logits(network, image[0], "red circle", fault)
    assert relative_error(network(image, ["red circle"])[0, 0], faulty) > 1e-4


def test_every_fault_is_tried():
    tried = {name for _, fault in ONE_FAULT_EACH for name, value in vars(fault).items() if value}
    assert tried == set(vars(replace(naive.NONE)))


def test_turning_the_method_off_restores_the_base(build, pictures):
    network = build(CLIPSEG, "maple", upsampler=False, prompt_depth=3).eval()
    zero_shot = build(CLIPSEG, None, upsampler=False).eval()
    network.method = None
    with torch.no_grad():
        assert torch.equal(network(pictures(CLIPSEG)), zero_shot(pictures(CLIPSEG)))


# --- initialization ---


def features_of(network: PromptTunedCLIPSeg, text: str) -> torch.Tensor:
    with torch.no_grad():
        return network.encode_text(network.tokenize([text]), None)["embedding"]


@pytest.mark.parametrize("word", ["polyp", "red circle", "Überraschung"])
def test_an_untouched_coop_says_a_photo_of_a(word, build):
    coop, plain = build(CLIPSEG, "coop", prompt_depth=1), build(CLIPSEG, None)
    expected = features_of(plain, f"a photo of a {word}")
    assert relative_error(features_of(coop, word), expected) < 1e-5
    assert relative_error(features_of(coop, word), features_of(plain, word)) > 0.01
    gaussian = build(CLIPSEG, "coop", prompt_depth=1, context_initializer=None)
    assert relative_error(features_of(gaussian, word), expected) > 0.01


def test_a_phrase_as_long_as_the_context_is_said_in_full(build):
    coop = build(CLIPSEG, "coop", prompt_depth=1, num_context=2, context_initializer="red lesion")
    assert relative_error(features_of(coop, "polyp"), features_of(build(CLIPSEG, None), "red lesion polyp")) < 1e-5


# --- what forward may not waste ---


@pytest.mark.parametrize("training", [True, False])
def test_shared_attention_runs_each_block_once_a_step(training, build, pictures):
    network = build(CLIPSEG, "shared_attention", prompt_depth=3, nhead=16).train(training)
    runs: list[int] = []
    for number, block in enumerate(network.method.blocks):
        block.register_forward_hook(lambda *_, number=number: runs.append(number))
    network(pictures(CLIPSEG)).sum().backward()
    assert runs == [0, 1, 2]


def calls_of_layers(network: PromptTunedCLIPSeg, image: torch.Tensor) -> list[list[int]]:
    """Batch sizes of all calls of each vision layer."""
    calls: list[list[int]] = []
    for layer in network.base.clip.vision_model.encoder.layers:
        calls.append([])
        handle = layer.register_forward_hook(lambda module, inputs, output, seen=calls[-1]: seen.append(len(inputs[0])))
        handles.append(handle)
    with torch.no_grad():
        network(image)
    while handles:
        handles.pop().remove()
    return calls


handles: list[torch.utils.hooks.RemovableHandle] = []


@pytest.mark.parametrize("method", [None, *CLIPSEG.methods])
def test_nineteen_classes_take_one_vision_pass_up_to_the_last_tap(method, build, pictures):
    names = [f"class {number}" for number in range(19)]
    network = build(CLIPSEG, method, class_names=names, **tiny_arguments(method, 4)).eval()
    needs_all = bool(method) and METHODS[method].image_conditioned
    assert calls_of_layers(network, pictures(CLIPSEG, 2)) == [[2]] * 4 + ([[2]] if needs_all else [[]])


@pytest.mark.parametrize("method", [None, *CLIPSEG.methods])
def test_the_decoder_reads_each_tap_once_an_image(method, build, pictures):
    network = build(CLIPSEG, method, **tiny_arguments(method)).eval()
    rows: list[int] = []
    hooks = [
        module.register_forward_hook(lambda module, inputs, output: rows.append(len(output)))
        for module in network.base.decoder.reduces
    ]
    with torch.no_grad():
        network(pictures(CLIPSEG, 2))
    for hook in hooks:
        hook.remove()
    assert rows == [2, 2, 2]


def test_the_case_list_holds_the_published_kinds_of_decoder(base_model_of):
    kinds: dict[bool, NetworkCase] = {}
    for case in (CLIPSEG, REFINED):
        kinds[base_model_of(case).model.config.use_complex_transposed_convolution] = case
    assert kinds == {False: CLIPSEG, True: REFINED}
