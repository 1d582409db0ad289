"""A new VLSM is one file, one registry line and one fragment, and can be trained, searched, shared and loaded.

This one, in docs/examples/, shares nothing with CLIP: a bidirectional text encoder of 24 positions with a WordPiece
tokenizer, pooled at its first token, and convolutions for the images. The package embeds no tiny version of it.
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

EXAMPLES = ROOT / "docs" / "examples"


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
    shutil.copy(EXAMPLES / "wordseg.py", root)
    shutil.copy(EXAMPLES / "wordseg.yaml", root / "configs/models")
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
