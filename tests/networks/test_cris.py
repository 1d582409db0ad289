"""CRIS-specific behavior; the contract suites test the rest."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

from monai_tunevlseg.networks import PromptTunedCRIS, load_clipseg, load_cris
from monai_tunevlseg.networks.cris.network import encode_text

TEXTS = ["polyp", "a photo of a red circle"]


def network_of(base, method=None, upsampler=False, **arguments):
    torch.manual_seed(0)
    return PromptTunedCRIS(base, TEXTS, method, arguments, upsampler).eval()


@pytest.mark.parametrize("size", [(64, 64), (96, 32)])
def test_without_method_and_upsampler_the_logits_are_the_base_models(tiny_cris, size):
    network, image = network_of(tiny_cris), torch.randn(2, 3, *size)
    with torch.no_grad():
        for index, text in enumerate(TEXTS):
            token_ids = torch.tensor([tiny_cris.tokenizer(text)["input_ids"]] * 2)
            expected = tiny_cris.model(image, token_ids)
            assert (network(image)[:, index : index + 1] - expected).abs().max() < 1e-5 * expected.abs().max()


def naive_block(block, states: list[torch.Tensor]) -> list[torch.Tensor]:
    """One layer of CLIP's text transformer, token by token and head by head."""
    heads, normed = block.attn.num_heads, [block.ln_1(state) for state in states]
    projected = [(block.attn.in_proj_weight @ state + block.attn.in_proj_bias).chunk(3) for state in normed]
    output = []
    for place, state in enumerate(states):
        parts = []
        for head in range(heads):
            query, *_ = (part.chunk(heads)[head] for part in projected[place])
            keys = torch.stack([projected[seen][1].chunk(heads)[head] for seen in range(place + 1)])
            values = torch.stack([projected[seen][2].chunk(heads)[head] for seen in range(place + 1)])
            parts.append((keys @ query / len(query) ** 0.5).softmax(0) @ values)
        state = state + block.attn.out_proj(torch.cat(parts))
        inner = block.mlp.c_fc(block.ln_2(state))
        output.append(state + block.mlp.c_proj(inner / (1 + (-1.702 * inner).exp())))
    return output


def naive_text(backbone, ids: list[int], contexts: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Words and state of one text, with the context of each prompted layer after SOS."""
    start, *rest = (backbone.token_embedding.weight[number] for number in ids)
    states = [start, *contexts[0], *rest]
    states = [state + place for state, place in zip(states, backbone.positional_embedding, strict=False)]
    for index, block in enumerate(backbone.transformer.resblocks):
        if 0 < index < len(contexts):
            states[1 : 1 + len(contexts[index])] = contexts[index]
        states = naive_block(block, states)
    words = torch.stack([backbone.ln_final(state) for state in states])
    return words, words[-1] @ backbone.text_projection


@pytest.mark.parametrize("method", ["coop", "cocoop"])
@pytest.mark.parametrize("depth", [1, 2, 4])
def test_prompted_text_encoder_equals_a_naive_one(tiny_cris, method, depth):
    network = network_of(tiny_cris, method, num_context=3, prompt_depth=depth)
    embedding = torch.randn(2, tiny_cris.model.config.embed_dim) if method == "cocoop" else None
    with torch.no_grad():
        words, state, end = encode_text(
            tiny_cris.model.backbone, network.tokenize(TEXTS).ids, network.method, embedding
        )
        for row, text in enumerate(TEXTS):
            ids = tiny_cris.tokenizer(text)["input_ids"]
            contexts = [network.method.text_context(layer, embedding) for layer in range(depth)]
            contexts = [context[row] if method == "cocoop" else context for context in contexts]
            expected_words, expected_state = naive_text(tiny_cris.model.backbone, ids, contexts)
            torch.testing.assert_close(words[row, : len(expected_words)], expected_words, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(state[row], expected_state, rtol=1e-4, atol=1e-5)
            assert end[row] == len(expected_words) - 1 == len(ids) + 2


@pytest.mark.parametrize(("method", "count"), [(None, 0), ("coop", 3)])
def test_the_decoder_sees_sos_context_words_and_eos_and_no_padding(tiny_cris, method, count):
    network = network_of(tiny_cris, method, **({"num_context": 3} if method else {}))
    features = network.encode_text(network.tokenize(TEXTS), None)
    lengths = [len(tiny_cris.tokenizer(text)["input_ids"]) + count for text in TEXTS]
    assert features["padding"].shape == (2, 77)
    assert [(~row).sum().item() for row in features["padding"]] == lengths
    assert not any(row[:length].any() for row, length in zip(features["padding"], lengths, strict=True))


def test_tokens_after_eos_have_no_effect(tiny_cris):
    network, image = network_of(tiny_cris, "coop"), torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        image_features = network.encode_image(image)
        features = {name: value[None] for name, value in network.encode_text(network.tokenize(TEXTS), None).items()}
        logits = network.decode(image_features, features)
        features["words"] = torch.where(features["padding"].unsqueeze(-1), 5.0, features["words"])
        torch.testing.assert_close(network.decode(image_features, features), logits)


def test_texts_met_in_different_calls_go_together(tiny_cris):
    network, image = network_of(tiny_cris), torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        for text in TEXTS:  # of different lengths
            network(image, [text])
        kept = network(image)
        network.text_features.clear()
        torch.testing.assert_close(kept, network(image))


def test_a_text_of_any_length_is_cut_to_what_the_encoder_takes(tiny_cris):
    network = network_of(tiny_cris, "coop", num_context=4)
    ids = network.tokenize(["polyp " * 100]).ids
    assert ids.shape == (1, 73)
    assert ids[0, -1] == tiny_cris.tokenizer.eos_token_id
    assert network(torch.randn(1, 3, 64, 64), ["polyp " * 100]).isfinite().all()


def test_image_embedding_is_the_spatial_mean_of_the_last_map(tiny_cris):
    image = torch.randn(2, 3, 64, 96)
    last = tiny_cris.model.backbone.visual(image)[-1]
    assert last.shape == (2, 24, 2, 3)
    embedding = network_of(tiny_cris, "cocoop").encode_image(image)["embedding"]
    torch.testing.assert_close(embedding, last.flatten(2).mean(2))
    assert "embedding" not in network_of(tiny_cris, "coop").encode_image(image)


def test_upsampler_reduces_the_decoders_features_to_64_channels(tiny_cris):
    network, image = network_of(tiny_cris, upsampler=True), torch.randn(1, 3, 64, 64)
    upsampler, width = network.upsampler, tiny_cris.model.config.text_width
    assert upsampler.reduce.weight.shape == (64, width, 1, 1)
    assert upsampler.convolution.weight.shape == (1, 64, 5, 5)
    with torch.no_grad():
        levels = list(network.encode_image(image).values())
        texts = {name: value[None] for name, value in network.encode_text(network.tokenize(TEXTS), None).items()}
        features, logits = tiny_cris.model.decode(levels, **texts)
        reduced = functional.interpolate(upsampler.reduce(features), size=(64, 64), mode="bilinear")
        padded = functional.pad(reduced, (2, 2, 2, 2), mode="replicate")
        added = functional.conv2d(padded, upsampler.convolution.weight, upsampler.convolution.bias)
        torch.testing.assert_close(network(image), (0.5 * logits + 0.5 * added).reshape(1, 2, 64, 64))


def test_checkpoints_are_refused_by_the_other_model(tiny_cris, tiny_clipseg_dir):
    from monai_tunevlseg.networks import PromptTunedCLIPSeg

    cris = network_of(tiny_cris, "coop", upsampler=True)
    clipseg = PromptTunedCLIPSeg(load_clipseg(str(tiny_clipseg_dir)), TEXTS, "coop")
    with pytest.raises(ValueError, match="'PromptTunedCLIPSeg'.*'PromptTunedCRIS'"):
        cris.load_state_dict(clipseg.state_dict())
    with pytest.raises(ValueError, match="'PromptTunedCRIS'.*'PromptTunedCLIPSeg'"):
        clipseg.load_state_dict(cris.state_dict())


def test_base_models_are_refused_by_the_other_loader(tiny_cris_dir, tiny_clipseg_dir):
    with pytest.raises(ValueError, match=r"config\.json.*model_type.*'clipseg'"):
        load_cris(str(tiny_clipseg_dir))
    with pytest.raises(ValueError, match="'cris'.*'clipseg'"):
        load_clipseg(str(tiny_cris_dir))


@pytest.fixture
def copied_dir(tiny_cris_dir, tmp_path):
    return shutil.copytree(tiny_cris_dir, tmp_path / "cris")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_missing_file_is_named(copied_dir, name):
    (copied_dir / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"cris'.* {name}"):
        load_cris(str(copied_dir))


def test_weights_in_another_format_are_missing(copied_dir):
    (copied_dir / "model.safetensors").rename(copied_dir / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        load_cris(str(copied_dir))


def test_weights_that_do_not_fit_are_listed(copied_dir):
    weights = load_file(copied_dir / "model.safetensors")
    del weights["proj.txt.bias"]
    weights["backbone.text_projection"] = torch.ones(2, 3)
    save_file(weights, copied_dir / "model.safetensors")
    with pytest.raises(ValueError, match=r"1 .*proj\.txt\.bias; 1 .*\[2, 3\].*\[32, 24\]"):
        load_cris(str(copied_dir))


def test_weights_cut_short_are_damaged(copied_dir):
    file = copied_dir / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"model\.safetensors .*\("):
        load_cris(str(copied_dir))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patch_size": 16}, "patch_size"),
        ({"text_layers": 0}, "text_layers 0"),
        ({"text_layers": "four"}, "text_layers 'four'"),
        ({"model_type": None}, "model_type.*None.*'cris'"),
    ],
)
def test_a_config_that_does_not_fit_is_named(copied_dir, change, message):
    file = copied_dir / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ValueError, match=rf"config\.json.*{message}"):
        load_cris(str(copied_dir))


@pytest.mark.parametrize("content", ["", "[1, 2]", "not json"])
def test_a_config_that_is_none_is_named(copied_dir, content):
    (copied_dir / "config.json").write_text(content)
    with pytest.raises(ValueError, match=r"config\.json"):
        load_cris(str(copied_dir))


def test_half_precision_weights_load_as_float32(copied_dir):
    file = copied_dir / "model.safetensors"
    halves = {name: value.half() if value.is_floating_point() else value for name, value in load_file(file).items()}
    save_file(halves, file)
    assert {parameter.dtype for parameter in load_cris(str(copied_dir)).model.parameters()} == {torch.float32}
