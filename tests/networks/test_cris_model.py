"""The published CRIS: its parameters, and its modules against simpler implementations."""

import dataclasses
import math

import pytest
import torch
from fake_cris_release import Sizes, cris_shapes
from torch.nn import functional

from monai_tunevlseg.networks import CRIS, CRISConfig
from monai_tunevlseg.networks.cris.decoder import CoordConv, Projector, sine_codes, sine_codes_2d
from monai_tunevlseg.networks.cris.encoders import AttentionPool, Bottleneck

NOT_PARAMETERS = ("running_mean", "running_var", "num_batches_tracked")


@pytest.fixture(scope="module")
def full_size():
    with torch.device("meta"):
        return CRIS()


@pytest.fixture
def model(tiny_cris):
    return tiny_cris.model


def token_ids(model, *lengths, pad=0):
    """Random texts of the given numbers of words between SOS and EOS."""
    eos = model.config.vocab_size - 1
    rows = torch.full((len(lengths), max(lengths) + 2), pad)
    for row, length in zip(rows, lengths, strict=True):
        row[0] = eos - 1
        row[1 : length + 1] = torch.randint(1, eos - 1, (length,))
        row[length + 1] = eos
    return rows


def test_full_size_has_the_releases_names_and_shapes(full_size):
    assert {name: tuple(value.shape) for name, value in full_size.state_dict().items()} == cris_shapes(Sizes())


def test_full_size_has_the_releases_number_of_parameters(full_size):
    shapes = {name: shape for name, shape in cris_shapes(Sizes()).items() if not name.endswith(NOT_PARAMETERS)}
    count = sum(math.prod(shape) for shape in shapes.values())
    assert sum(parameter.numel() for parameter in full_size.parameters()) == count == 146_849_122


@pytest.mark.parametrize("size", [(64, 64), (32, 96)])
def test_logits_have_the_images_size(model, size):
    assert model(torch.randn(2, 3, *size), token_ids(model, 3, 5)).shape == (2, 1, *size)


def test_maps_have_strides_8_16_and_32(model):
    config = model.config
    maps = model.backbone.visual(torch.randn(1, 3, 64, 96))
    c3, c4 = 8 * config.vision_width, 16 * config.vision_width
    assert [tuple(level.shape[1:]) for level in maps] == [(c3, 8, 12), (c4, 4, 6), (config.embed_dim, 2, 3)]


def test_what_pads_a_text_does_not_matter(model):
    ids = token_ids(model, 2, 6)
    padded_with_eos = torch.where(ids == 0, model.config.vocab_size - 1, ids)
    image = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        logits = model(image, ids)
        torch.testing.assert_close(model(image, padded_with_eos), logits)
        torch.testing.assert_close(model(image[:1], ids[:1, :4]), logits[:1])


def test_a_word_reaches_the_logits_through_the_decoder(model):
    """With a fixed state of the text, only the cross-attention depends on the words."""
    words, padding = torch.randn(1, 1, 5, model.config.text_width), torch.zeros(1, 1, 5, dtype=torch.bool)
    padding[..., 4] = True
    state = torch.randn(1, 1, model.config.embed_dim)
    changed, hidden = words.clone(), words.clone()
    changed[..., 3, :] += 1
    hidden[..., 4, :] += 1
    with torch.no_grad():
        levels = model.neck.project(model.backbone.visual(torch.randn(1, 3, 64, 64)))
        logits, other, same = (model.decode(levels, tokens, padding, state)[1] for tokens in (words, changed, hidden))
    assert not torch.allclose(logits, other)
    assert torch.equal(logits, same)


def test_many_texts_an_image_equal_one_by_one(model):
    levels = model.neck.project(model.backbone.visual(torch.randn(2, 3, 64, 64)))
    words = torch.randn(2, 3, 4, model.config.text_width)
    padding = torch.zeros(2, 3, 4, dtype=torch.bool)
    state = torch.randn(2, 3, model.config.embed_dim)
    together = model.decode(levels, words, padding, state)[1].unflatten(0, (2, 3))
    for index in range(3):
        one = slice(index, index + 1)
        alone = model.decode(levels, words[:, one], padding[:, one], state[:, one])[1]
        torch.testing.assert_close(together[:, index], alone)


@pytest.mark.parametrize("size", [(3, 3), (2, 5)])
def test_attention_pool_equals_torchs_attention(size):
    torch.manual_seed(0)
    pool = AttentionPool(grid=3, channels=16, heads=4, out_channels=8).eval()
    features = torch.randn(2, 16, *size)
    grid = pool.positional_embedding[1:].reshape(1, 3, 3, 16).permute(0, 3, 1, 2)
    places = functional.interpolate(grid, size=size, mode="bicubic", align_corners=False)
    sequence = (features + places).flatten(2).permute(2, 0, 1)  # (h * w, B, channels)
    attended, _ = functional.multi_head_attention_forward(
        sequence,
        sequence,
        sequence,
        embed_dim_to_check=16,
        num_heads=4,
        in_proj_weight=None,
        in_proj_bias=torch.cat([pool.q_proj.bias, pool.k_proj.bias, pool.v_proj.bias]),
        bias_k=None,
        bias_v=None,
        add_zero_attn=False,
        dropout_p=0.0,
        out_proj_weight=pool.c_proj.weight,
        out_proj_bias=pool.c_proj.bias,
        use_separate_proj_weight=True,
        q_proj_weight=pool.q_proj.weight,
        k_proj_weight=pool.k_proj.weight,
        v_proj_weight=pool.v_proj.weight,
    )
    expected = attended.permute(1, 2, 0).reshape(2, 8, *size) + pool.connect(features)
    torch.testing.assert_close(pool(features), expected.clamp(min=0))


def test_bottleneck_strides_by_averaging():
    torch.manual_seed(0)
    block = Bottleneck(8, 4, stride=2).eval()
    features = torch.randn(1, 8, 6, 6)
    inner = block.bn1(block.conv1(features)).relu()
    inner = functional.avg_pool2d(block.bn2(block.conv2(inner)).relu(), 2)
    _, convolution, norm = block.downsample
    shortcut = norm(convolution(functional.avg_pool2d(features, 2)))
    torch.testing.assert_close(block(features), (block.bn3(block.conv3(inner)) + shortcut).relu())


def test_projector_convolves_each_sample_with_its_own_kernel(model):
    projector: Projector = model.proj
    features, state = torch.randn(3, model.config.text_width, 2, 4), torch.randn(3, model.config.embed_dim)
    upsampled, projected = projector.vis(features), projector.txt(state)
    kernels = projected[:, :-1].reshape(3, 1, upsampled.shape[1], 3, 3)
    expected = [
        functional.conv2d(sample[None], kernel, row[-1:], padding=1)
        for sample, kernel, row in zip(upsampled, kernels, projected, strict=True)
    ]
    torch.testing.assert_close(projector(features, state), torch.cat(expected))


def test_coordconv_sees_columns_then_rows():
    convolution = CoordConv(1, 2).eval()
    seen = []
    convolution.conv1.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    convolution(torch.zeros(1, 1, 2, 3))
    torch.testing.assert_close(seen[0][0, 1], torch.tensor([[-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0]]))
    torch.testing.assert_close(seen[0][0, 2], torch.tensor([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]]))


def test_sine_codes_are_those_of_the_formula():
    codes = sine_codes(9, 8)
    for place in range(9):
        for pair in range(4):
            angle = place / 10000 ** (2 * pair / 8)
            assert codes[place, 2 * pair].item() == pytest.approx(math.sin(angle), abs=1e-6)
            assert codes[place, 2 * pair + 1].item() == pytest.approx(math.cos(angle), abs=1e-6)


def test_sine_codes_of_a_map_have_the_column_first():
    codes = sine_codes_2d(3, 4, 8).reshape(3, 4, 8)
    for row in range(3):
        for column in range(4):
            assert torch.equal(codes[row, column], torch.cat([sine_codes(4, 4)[column], sine_codes(3, 4)[row]]))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"image_size": 400}, r"image_size 400 .*\b32\b"),
        ({"text_layers": 0}, "text_layers 0 "),
        ({"vision_blocks": (3, 4, 6)}, r"vision_blocks \(3, 4, 6\)"),
        ({"dropout": 1.0}, r"dropout 1\.0"),
        ({"text_heads": 7}, "7 heads .*text transformer .*512"),
        ({"decoder_heads": 7}, "7 heads .*decoder .*512"),
        ({"vision_heads": 7}, "7 heads .*attention pool .*2048"),
        ({"text_width": 256}, "text_width 256 .*neck_dims .*512"),
    ],
)
def test_sizes_that_do_not_fit_are_named(sizes, message):
    with pytest.raises(ValueError, match=message):
        CRISConfig(**sizes)


def test_config_returns_from_its_dictionary(model):
    entries = model.config.to_dict()
    assert entries["model_type"] == "cris"
    entries = {name: list(value) if isinstance(value, tuple) else value for name, value in entries.items()}
    assert CRISConfig.from_dict(entries) == model.config
    assert CRISConfig.from_dict({"model_type": "cris", "image_size": 64}) == dataclasses.replace(
        CRISConfig(), image_size=64
    )
