"""SAM 3: equal to transformers without prompts, and to a naive reference with them."""

from __future__ import annotations

import copy
from dataclasses import fields

import naive_sam3 as naive
import pytest
import torch
from exact_networks import exact, relative_error
from network_cases import CASES
from tiny_methods import tiny_arguments
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate

from monai_tunevlseg.methods import METHODS
from monai_tunevlseg.networks import PromptTunedSAM3

SAM3, LITE = (case for case in CASES if case.network is PromptTunedSAM3)
TEXTS = ["polyp", "a photo of a red circle", "lesion!"]

both_text_encoders = pytest.mark.parametrize("case", [SAM3, LITE], ids=lambda case: case.name)
every_depth = pytest.mark.parametrize("depth", [1, 2, 4], ids=["first", "middle", "all"])
PROMPTS_VISION = [name for name in SAM3.methods if METHODS[name].prompts_vision]


# --- without prompts: transformers ---


def at_size(model: torch.nn.Module, rows: int, columns: int) -> torch.nn.Module:
    """Return transformers' own model for images of another size, with the same weights.

    It is built for square images; the positions of its global layers are those of a rectangle.
    """
    config = copy.deepcopy(model.config)
    vit = config.vision_config.backbone_config
    vit.image_size = rows * vit.patch_size
    other = type(model)(config).eval()
    other.load_state_dict(model.state_dict())
    if rows != columns:
        span = vit.window_size
        places = [(column * span / columns, row * span / rows) for row in range(rows) for column in range(columns)]
        for layer in other.vision_encoder.backbone.layers:
            if not layer.window_size:
                layer.position_ids = torch.tensor(places)
    return other


@both_text_encoders
@pytest.mark.parametrize("grid", [(4, 4), (5, 5), (6, 6), (3, 5)], ids=str)
def test_zero_shot_logits_and_presence_are_those_of_transformers(case, grid, build, pictures):
    network = build(case, upsampler=False, class_names=TEXTS).eval()
    size = tuple(patches * case.divisor for patches in grid)
    images, model = pictures(case, 2, *size), at_size(network.base, *grid)
    rows = network.tokenizer(TEXTS, padding="max_length", max_length=32, return_tensors="pt")
    with torch.no_grad():
        result = network(images, presence=True)
        for number in range(len(TEXTS)):
            ids, mask = (rows[name][number].expand(2, -1) for name in ("input_ids", "attention_mask"))
            expected = model(pixel_values=images, input_ids=ids, attention_mask=mask)
            semantic = interpolate(expected.semantic_seg, size=size, mode="bilinear")[:, 0]
            assert torch.allclose(result.logits[:, number], semantic, atol=1e-5)
            assert torch.allclose(result.presence[:, number], expected.presence_logits[:, 0], atol=1e-5)
        assert not torch.allclose(result.logits[:, 0], result.logits[:, 1], atol=1e-2)
        assert torch.equal(network(images), result.logits)


@both_text_encoders
def test_in_bfloat16_they_are_as_near_as_those_of_transformers(case, build, pictures):
    network, images = build(case, upsampler=False, class_names=["polyp"]).eval(), pictures(case)
    rows = network.tokenizer(["polyp"] * 2, padding="max_length", max_length=32, return_tensors="pt")
    rounded = copy.deepcopy(network.base).bfloat16()  # its positions too
    with torch.no_grad():
        exact, ours = network(images), network.compute_in("bf16")(images)
        theirs = rounded(pixel_values=images.bfloat16(), **rows).semantic_seg.float()
        theirs = interpolate(theirs, size=images.shape[-2:], mode="bilinear")
    assert ours.dtype == torch.float32
    assert 0 < (ours - exact).norm() < 2 * (theirs - exact).norm()


def test_positions_keep_all_their_bits_in_bfloat16(build):
    network = build(SAM3, upsampler=False)
    exact, rounded = (dict(network.compute_in(name).base.named_buffers()) for name in ("fp32", "bf16"))
    for name, buffer in exact.items():
        assert torch.equal(rounded[name], buffer), name
    assert any("inv_freq" in name for name in exact)


@both_text_encoders
def test_the_parts_that_find_instances_are_not_run(case, build, pictures):
    network = copy.deepcopy(build(case, upsampler=False)).eval()  # the tests share its base model
    ran = []
    for name in network.parts.other_outputs:
        for module in network.base.get_submodule(name).modules():
            module.register_forward_hook(lambda *_, name=name: ran.append(name))
    network(pictures(case))
    assert not ran
    network(pictures(case), presence=True)
    assert set(ran) == {"detr_decoder"}


@both_text_encoders
def test_the_maps_are_computed_once_for_all_texts(case, build, pictures):
    network, calls = copy.deepcopy(build(case, upsampler=False)).eval(), []
    for layer in network.base.vision_encoder.neck.fpn_layers:
        layer.register_forward_hook(lambda layer, inputs, _: calls.append(inputs[0].shape[0]))
    network(pictures(case), [[f"text {number}" for number in range(19)]] * 2)
    assert calls == [2, 2, 2]  # the fourth map is not read


@both_text_encoders
def test_patches_attend_to_each_other_once_for_all_texts_before_they_read_one(case, build, pictures):
    network, rows = copy.deepcopy(build(case, upsampler=False)).eval(), {}
    for number, layer in enumerate(network.base.detr_encoder.layers):
        layer.self_attn.register_forward_hook(
            lambda _, inputs, output, number=number: rows.setdefault(number, []).append(len(output[0]))
        )
    network(pictures(case), [["polyp", "a red circle", "lesion"]] * 2)
    assert rows == {0: [2], 1: [2, 2, 2]}


# --- with prompts: the naive reference ---


def contexts_of(network: PromptTunedSAM3) -> list[torch.Tensor]:
    method = network.method
    return [method.visual_context(layer) for layer in range(method.prompt_depth)] if method else []


@pytest.mark.parametrize("method", [None, *PROMPTS_VISION])
@every_depth
def test_the_prompted_vision_encoder_is_that_of_the_equations(method, depth, build, pictures):
    network = exact(build(SAM3, method, **({"prompt_depth": depth, "num_context": 3} if method else {})))
    patch, vit = SAM3.divisor, network.base.vision_encoder.backbone
    for rows, columns in ((4, 4), (3, 5)):  # the second grid does not fill its windows
        images = pictures(SAM3, 2, rows * patch, columns * patch).double()
        states = network.encode_image(images)["states"]
        for state, image in zip(states, images, strict=True):
            assert relative_error(state, naive.vision_states(vit, image, contexts_of(network))) < 1e-6


@pytest.mark.parametrize(
    "fault",
    [naive.Faults(**{each.name: 1 if each.name == "layers_too_deep" else True}) for each in fields(naive.Faults)],
    ids=[each.name for each in fields(naive.Faults)],
)
def test_a_fault_in_the_reference_is_detected(fault, build, pictures):
    network = exact(build(SAM3, "vpt", prompt_depth=2, num_context=3))
    image = pictures(SAM3, 1, 3 * SAM3.divisor, 5 * SAM3.divisor).double()  # does not fill its windows
    vit = network.base.vision_encoder.backbone
    expected = naive.vision_states(vit, image[0], contexts_of(network), fault)
    assert relative_error(network.encode_image(image)["states"][0], expected) > 1e-4


@both_text_encoders
@pytest.mark.parametrize("method", [name for name in SAM3.methods if METHODS[name].prompts_text])
def test_context_words_and_end_share_the_positions(case, method, build):
    network = build(case, method, **tiny_arguments(method), num_context=4)
    positions = network.encoder_sizes().text_positions
    with pytest.warns(UserWarning, match=f"{positions - 4}"):
        tokens = network.tokenize(["polyp", "red " * 40])
    eos = network.tokenizer.eos_token_id
    assert tokens.ids.shape == (2, positions - 4)
    assert tokens.ids[1, -1] == eos and tokens.mask[1].all()
    given = torch.randn(2, network.encoder_sizes().image_embed_dim) if network.method.image_conditioned else None
    features = network.encode_text(tokens, given)
    assert features["states"].shape[:2] == features["mask"].shape == (2, positions)
    assert features["mask"].sum(dim=1).tolist() == [int(tokens.mask[0].sum()) + 4, positions]


@both_text_encoders
def test_texts_have_no_effect_on_each_other(case, build, pictures):
    network, images = build(case, "coop", prompt_depth=2).eval(), pictures(case)
    with torch.no_grad():
        alone = network(images, ["polyp"] * 2)
        together = network(images, [["a photo of a large red polyp", "polyp"]] * 2)
    assert torch.allclose(together[:, 1:], alone, atol=1e-5)


# --- training ---


@both_text_encoders
@pytest.mark.parametrize("method", ["coop", "vpt"])
def test_eight_synthetic_images_are_learned_by_heart(case, method, build):
    network = build(case, method, prompt_depth=4, num_context=16, class_names=["polyp"]).train()
    generator = torch.Generator().manual_seed(0)
    side, masks = case.size // 2, torch.zeros(8, 1, case.size, case.size)
    corners = case.divisor * torch.randint(0, 3, (8, 2), generator=generator)
    for mask, (top, left) in zip(masks, corners.tolist(), strict=True):
        mask[0, top : top + side, left : left + side] = 1
    images = 0.1 * torch.randn(8, 3, case.size, case.size, generator=generator) + 2 * masks - 1
    optimizer = torch.optim.Adam([each for each in network.parameters() if each.requires_grad], lr=0.05)
    before = dice(network(images) > 0, masks > 0)
    for _ in range(200):
        optimizer.zero_grad()
        binary_cross_entropy_with_logits(network(images), masks).backward()
        optimizer.step()
    assert before.mean() < 0.7
    assert dice(network.eval()(images) > 0, masks > 0).min() > 0.9


def dice(found: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    return 2 * (found & truth).sum((1, 2, 3)) / (found.sum((1, 2, 3)) + truth.sum((1, 2, 3)))
