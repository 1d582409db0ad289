"""A new VLSM is one file, one registry line and one fragment, and can be trained, searched, shared and loaded.

This one shares nothing with CLIP: a bidirectional text encoder of 24 positions with a WordPiece tokenizer, pooled at
its first token, and convolutions for the images. The package embeds no tiny version of it.
"""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from shared_bundles import share_bundle
from tiny_methods import tiny_arguments
from transformers import BertTokenizer

from monai_tunevlseg import Segmenter
from monai_tunevlseg.bundles import bundle_names, experiment_names, write_bundles
from monai_tunevlseg.methods import METHODS
from monai_tunevlseg.networks import VLSMS
from monai_tunevlseg.search import SearchSettings, run_search
from monai_tunevlseg.search.experiments import describe_base_model, find_experiment
from monai_tunevlseg.sharing import Sources

ROOT = Path(__file__).resolve().parents[2]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "photo", "of", "polyp", "lesion", "red"]

FILE = '''\
"""WordSeg: a VLSM without parts of CLIP."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional
from transformers import AutoTokenizer, BertConfig, BertModel

from monai_tunevlseg.methods import AdapterSites, EncoderSizes, LayerSites
from monai_tunevlseg.networks import BaseModel, ImageFeatures, ImageSettings, PromptTunedNetwork, Upsampler
from monai_tunevlseg.networks.base_model import check_fingerprint, fingerprint
from monai_tunevlseg.networks.text_context import insert_text_context
from monai_tunevlseg.networks.trained_part import ModelParts


class WordSeg(nn.Module):
    def __init__(self, text: BertConfig, width: int) -> None:
        super().__init__()
        self.text = BertModel(text, add_pooling_layer=False)
        self.image = nn.Sequential(nn.Conv2d(3, width, 8, stride=8), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1))
        self.meet = nn.Linear(text.hidden_size, width)
        self.mix = nn.Conv2d(width, width, 1)


def load_wordseg(pretrained, expected_fingerprint=None) -> BaseModel:
    folder = Path(pretrained)
    config = json.loads((folder / "config.json").read_text())
    model = WordSeg(BertConfig(**config["text"], attn_implementation="eager"), config["width"])
    model.load_state_dict(load_file(folder / "model.safetensors"))
    tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    images = ImageSettings(config["image_size"], (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    base = BaseModel(str(pretrained), model, tokenizer, images, fingerprint(model, {}, tokenizer))
    check_fingerprint(base, expected_fingerprint)
    return base


class PromptTunedWordSeg(PromptTunedNetwork):
    load_base = staticmethod(load_wordseg)
    parts = ModelParts(text=("text",), vision=("image",), decoder=("meet", "mix"), early_decoder=())
    no_visual_prompts = "WordSeg's vision encoder is a stack of convolutions"
    text_embedding = condition = "state"
    repeated_layers = ("text.encoder.layer",)

    def encoder_sizes(self) -> EncoderSizes:
        text = self.base.text.config
        return EncoderSizes(
            text.hidden_size,
            text.num_hidden_layers,
            text.max_position_embeddings,
            self.base.mix.in_channels,
            no_visual_prompts=self.no_visual_prompts,
        )

    def adapter_sites(self):
        text = self.base.text.config
        return AdapterSites(
            condition_dim=self.base.mix.in_channels,
            text=tuple(
                LayerSites(
                    width=text.hidden_size,
                    branches=(f"{layer}.attention.output.dense", f"{layer}.output.dense"),
                    attention=tuple(f"{layer}.attention.self.{name}" for name in ("query", "key", "value")),
                    mlp=(f"{layer}.intermediate.dense", f"{layer}.output.dense"),
                )
                for layer in (f"text.encoder.layer.{index}" for index in range(text.num_hidden_layers))
            ),
            reasons={"vision": self.no_visual_prompts},
        )

    def embed_tokens(self, token_ids):
        return self.base.text.embeddings.word_embeddings(token_ids)

    def encode_image(self, image, learner=None, embed=None):
        maps = self.base.image(image.to(self.base.mix.weight.dtype))
        features = ImageFeatures(maps=maps)
        if self._is_conditioned() if embed is None else embed:
            features["embedding"] = maps.mean(dim=(2, 3))
        return features

    def encode_text(self, tokens, image_embedding, learner=None):
        model, learner = self.base.text, learner or self.learner
        hidden = insert_text_context(self.embed_tokens(tokens.ids), 0, learner, image_embedding)
        count = hidden.shape[1] - tokens.ids.shape[1]
        seen = functional.pad(tokens.mask, (count, 0), value=True)
        blocked = (~seen)[:, None, None].to(hidden.dtype) * torch.finfo(hidden.dtype).min
        hidden = model.embeddings(inputs_embeds=hidden)
        for index, layer in enumerate(model.encoder.layer):
            if index:
                hidden = insert_text_context(hidden, index, learner, image_embedding)
            output = layer(hidden, attention_mask=blocked)
            hidden = output[0] if isinstance(output, tuple) else output
        return {"state": self.base.meet(hidden[:, 0])}

    def decode(self, image_features, text_features):
        state = text_features["state"]
        maps = image_features["maps"][:, None] * state[..., None, None]
        features = self.base.mix(maps.flatten(0, 1))
        logits = functional.interpolate(features.mean(1, keepdim=True), scale_factor=8, mode="bilinear")
        if self.upsampler is not None:
            logits = self.upsampler(features, logits)
        return logits.unflatten(0, (-1, state.shape[1])).squeeze(2)

    def _build_upsampler(self):
        return Upsampler(self.base.mix.out_channels)
'''
FRAGMENT = """\
title: WordSeg
image_size: 32
max_prompt_depth: {text: 3}
summary: WordSeg (convolutions, 32x32)
base: someone/wordseg
reference: "nobody: WordSeg. 2026"
license: CC0
---
wordseg_import: "$import wordseg"
pretrained: someone/wordseg # base model: a folder
base_fingerprint: null # fingerprint that the base model must have; null = any
image_size: "$@base_model.image_size" # side length of the network's input in pixels: a multiple of 8
image_mean: "$@base_model.image_mean" # per channel, for images in [0, 1]
image_std: "$@base_model.image_std"
base_model: "$wordseg.load_wordseg(@pretrained, @base_fingerprint)"
network_def:
  _target_: wordseg.PromptTunedWordSeg
  # {% include "bundle/parts/network_arguments.yaml" %}
"""


def files_below(folder: Path) -> set[str]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {path.relative_to(folder).as_posix() for path in files}


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A copy of configs/ with the new VLSM and its bundles; the file is importable here and in child processes."""
    root = tmp_path / "repository"
    shutil.copytree(ROOT / "configs", root / "configs")
    shutil.copy(ROOT / "LICENSE", root)
    before, registered = files_below(root), list(VLSMS)
    (root / "wordseg.py").write_text(FILE)
    (root / "configs/models/wordseg.yaml").write_text(FRAGMENT)
    monkeypatch.syspath_prepend(root)
    monkeypatch.setenv("PYTHONPATH", f"{root}:{ROOT}")
    network = importlib.import_module("wordseg").PromptTunedWordSeg
    with VLSMS.temporarily("wordseg", network):
        assert files_below(root) - before == {"wordseg.py", "configs/models/wordseg.yaml"}
        assert list(VLSMS) == [*registered, "wordseg"]
        written = write_bundles(root / "configs", root / "bundles")
        changed = {path.relative_to(root).as_posix() for path in written if path.is_relative_to(root / "configs")}
        assert all("/wordseg_" in path for path in changed)  # other experiments are unchanged
        yield root
    sys.modules.pop("wordseg")


@pytest.fixture
def base_dir(repository, tmp_path):
    """The folder of a random WordSeg."""
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    text = {"vocab_size": len(WORDS), "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}
    text |= {"intermediate_size": 24, "max_position_embeddings": 24}
    (folder / "config.json").write_text(json.dumps({"text": text, "width": 12, "image_size": 32}))
    module = importlib.import_module("wordseg")
    torch.manual_seed(0)
    model = module.WordSeg(module.BertConfig(**text), 12)
    save_file(model.state_dict(), folder / "model.safetensors")
    return folder


@pytest.fixture
def dataset_dir(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (tmp_path / "Kvasir-SEG" / name).mkdir(parents=True)
    for number in range(10):
        mask = np.zeros((40, 48), np.uint8)
        mask[number : number + 20, 2 * number : 2 * number + 24] = 255
        image = (rng.integers(0, 90, (40, 48, 3)) + mask[..., None] // 2).astype(np.uint8)
        Image.fromarray(image).save(tmp_path / "Kvasir-SEG" / "images" / f"{number}.jpg")
        Image.fromarray(mask).convert("RGB").save(tmp_path / "Kvasir-SEG" / "masks" / f"{number}.jpg", quality=100)
    return tmp_path / "Kvasir-SEG"


def test_its_bundles_are_those_that_its_encoders_allow(repository):
    bundles = {name for name in bundle_names(repository / "configs") if name.startswith("wordseg")}
    methods = {name for name in METHODS if not METHODS[name].prompts_vision}
    assert bundles == {f"wordseg_{name}" for name in methods | {"finetune", "decoder", "zero_shot"}}
    datasets = {name.partition("/")[0] for name in experiment_names(repository / "configs") if "wordseg" in name}
    assert "kvasir" in datasets and "ultrasound" not in datasets


@pytest.mark.parametrize("method", [name for name in METHODS if not METHODS[name].prompts_vision])
def test_padding_has_no_effect_in_a_bidirectional_text_encoder(method, base_dir):
    network = VLSMS["wordseg"](
        VLSMS["wordseg"].load_base(base_dir), ["polyp", "a photo of a red lesion"], method, tiny_arguments(method)
    ).eval()
    image = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        alone = network(image, [["polyp"]])
        assert torch.allclose(network(image)[:, :1], alone, atol=1e-5)
        assert not torch.allclose(network(image)[:, 1:], alone, atol=1e-5)
    words = 20 if network.learner else 24  # of 24 positions, four are for the context
    with pytest.warns(UserWarning, match=f"{words}"):
        assert network.tokenize(["red " * 40]).ids.shape == (1, words)


def test_it_is_searched_shared_and_loaded(repository, base_dir, dataset_dir, tmp_path):
    folders = (repository / "configs", repository / "bundles")
    found = find_experiment("kvasir/wordseg_coop", *folders)
    network = VLSMS["wordseg"](VLSMS["wordseg"].load_base(base_dir), ["polyp"], upsampler=False)
    assert network.embed_image(torch.randn(1, 3, 32, 32)).shape == network.embed_text(["polyp"]).shape == (1, 12)
    sizes = describe_base_model(found, {"pretrained": str(base_dir)}).sizes
    assert (sizes.text_dim, sizes.num_layers) == (16, 3)
    fixed = {"pretrained": str(base_dir), "epochs": 1, "batch_size": 4, "effective_batch_size": 4, "num_workers": 0}
    settings = SearchSettings(n_trials=1, fixed=fixed | {"prompt_depth": 2})
    result = run_search("kvasir/wordseg_coop", dataset_dir, tmp_path / "out", settings, *folders)
    assert 0 <= result.metrics["dice"] <= 100
    sources = Sources(base_model_id="someone/wordseg", configs_dir=repository / "configs")
    shared = share_bundle("kvasir/wordseg_coop", tmp_path / "shared", tmp_path / "out" / "best", sources)
    segmenter = Segmenter.from_bundle(shared, pretrained=base_dir, device="cpu")
    assert segmenter.segment(dataset_dir / "images" / "0.jpg").shape == (1, 40, 48)
    assert segmenter.class_names == ["polyp"]
