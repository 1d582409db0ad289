"""Models and folders shared by many tests."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_sam3 import as_published, save_sam3, save_sam3_lite_text
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPSegConfig, CLIPSegForImageSegmentation, CLIPTokenizer, ViTImageProcessorPil

from monai_tunevlseg.networks import CRIS, BaseModel, CRISConfig, load_clipseg, load_cris, load_sam3, save_cris

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
WORDS = ["a", "photo", "of", "polyp", "lesion", "red", "circle"]


def pytest_addoption(parser) -> None:
    """Add the precision of the tests marked 'precision', and the device of the networks in contract suites."""
    parser.addoption(
        "--precision", choices=("fp32", "bf16"), default="fp32", help="Precision of the tests marked 'precision'."
    )
    parser.addoption("--device", default="cpu", help="Device of the networks and images in contract suites.")


def pytest_configure(config) -> None:
    """Compute in float32 on GPUs, too."""
    if config.getoption("--device") != "cpu":
        torch.backends.cudnn.allow_tf32 = False


def pytest_collection_modifyitems(items) -> None:
    """Mark the tests that use ``run_precision``."""
    for item in items:
        if "run_precision" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.precision)


@pytest.fixture
def run_precision(request) -> str:
    """The precision of bundle runs whose numbers a test checks, in place of the machine's fastest."""
    return request.config.getoption("--precision")


@pytest.fixture(scope="session")
def device(request) -> str:
    """The device of networks and images: ``--device``."""
    return request.config.getoption("--device")


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """One thread here and in child processes, because those of several processes would wait for each other's cores."""
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The read-only folder beside the checkout; tests that need it are skipped without it."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip(f"{folder} not found")
    return folder


def tiny_tokenizer() -> CLIPTokenizer:
    """A CLIP tokenizer of all bytes, which spell any text, and a few whole words."""
    letters = sorted(ByteLevel.alphabet())
    tokens = letters + [f"{letter}</w>" for letter in letters]
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        parts = [*word[:-1], f"{word[-1]}</w>"]
        while len(parts) > 1:
            merges.append((parts[0], parts[1]))
            parts[:2] = ["".join(parts[:2])]
            tokens.append(parts[0])
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys([*tokens]))}
    for special in ("<|startoftext|>", "<|endoftext|>"):
        vocabulary[special] = len(vocabulary)
    return CLIPTokenizer(vocab=vocabulary, merges=list(dict.fromkeys(merges)))


def tiny_config(complex_decoder: bool = False) -> CLIPSegConfig:
    """A small CLIPSeg that keeps three traits of the published one.

    One vision layer follows the last tap, the image size is that of the image processor and larger than the one in this
    config, and EOS is token 2, which stands for the last token of the vocabulary.
    """
    special = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
    text = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4}
    vision = {"hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 5, "num_attention_heads": 4}
    patch = 16 if complex_decoder else 8  # the complex decoder upsamples by the patch size only when it is 16
    return CLIPSegConfig(
        text_config=text | special | {"vocab_size": len(tiny_tokenizer())},
        vision_config=vision | {"image_size": 3 * patch, "patch_size": patch},
        projection_dim=24,
        reduce_dim=16,
        extract_layers=[1, 2, 3],
        decoder_num_attention_heads=4,
        decoder_intermediate_size=32,
        use_complex_transposed_convolution=complex_decoder,
    )


def save_clipseg(folder: Path, config: CLIPSegConfig, image_size: int) -> Path:
    """Save a random CLIPSeg with tokenizer and image processor, like the published ones."""
    torch.manual_seed(0)
    model = CLIPSegForImageSegmentation(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)  # transformers leaves biases and norms at 0 and 1
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    ViTImageProcessorPil(size=image_size, image_mean=MEAN, image_std=STD).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_clipseg_dir(tmp_path_factory) -> Path:
    """Folder of a tiny random CLIPSeg with the plain decoder."""
    return save_clipseg(tmp_path_factory.mktemp("tiny_clipseg"), tiny_config(), image_size=32)


@pytest.fixture(scope="session")
def tiny_refined_clipseg_dir(tmp_path_factory) -> Path:
    """Folder of a tiny random CLIPSeg with the complex transposed convolution of ``clipseg-rd64-refined``."""
    return save_clipseg(
        tmp_path_factory.mktemp("tiny_refined_clipseg"), tiny_config(complex_decoder=True), image_size=64
    )


@pytest.fixture(scope="session")
def published_clipseg_dir(tmp_path_factory) -> Path:
    """Folder of a narrow random ``clipseg-rd64-refined`` with the published depth and image size."""
    narrow = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2}
    config: Any = CLIPSegConfig(
        text_config=narrow | {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2},
        vision_config=narrow | {"patch_size": 16},
        projection_dim=16,
        reduce_dim=16,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=16,
        use_complex_transposed_convolution=True,
    )
    assert config.vision_config.image_size == 224
    return save_clipseg(tmp_path_factory.mktemp("published_clipseg"), config, image_size=352)


@pytest.fixture
def tiny_clipseg(tiny_clipseg_dir) -> BaseModel:
    """A newly loaded tiny CLIPSeg, which a test may change."""
    return load_clipseg(str(tiny_clipseg_dir))


def tiny_cris_config() -> CRISConfig:
    """A small CRIS."""
    return CRISConfig(
        image_size=64,
        vocab_size=len(tiny_tokenizer()),
        text_width=32,
        text_layers=4,
        text_heads=4,
        vision_width=8,
        vision_blocks=(1, 2, 1, 1),
        vision_heads=4,
        vision_grid=3,
        embed_dim=24,
        neck_dims=(16, 32, 40),
        decoder_layers=2,
        decoder_heads=4,
        decoder_ffn_dim=48,
    )


def random_cris(config: CRISConfig) -> CRIS:
    """Return a CRIS in which all weights and batch norm statistics differ from their initial values."""
    torch.manual_seed(0)
    model = CRIS(config).eval()
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 1.5)
            elif value.is_floating_point():
                value.add_(torch.randn_like(value) * 0.05)
    return model


@pytest.fixture(scope="session")
def tiny_cris_dir(tmp_path_factory) -> Path:
    """Folder of a tiny random CRIS."""
    return save_cris(random_cris(tiny_cris_config()), tiny_tokenizer(), tmp_path_factory.mktemp("tiny_cris"))


@pytest.fixture
def tiny_cris(tiny_cris_dir) -> BaseModel:
    """A newly loaded tiny CRIS, which a test may change."""
    return load_cris(str(tiny_cris_dir))


@pytest.fixture(scope="session")
def tiny_sam3_dir(tmp_path_factory) -> Path:
    """Folder of a tiny random SAM 3."""
    return save_sam3(tmp_path_factory.mktemp("tiny_sam3"), tiny_tokenizer())


@pytest.fixture(scope="session")
def tiny_sam3_lite_dir(tmp_path_factory) -> Path:
    """Folder of a tiny random SAM 3 LiteText."""
    return save_sam3_lite_text(tmp_path_factory.mktemp("tiny_sam3_lite"), tiny_tokenizer())


@pytest.fixture(scope="session")
def published_sam3_dir(tmp_path_factory) -> Path:
    """Folder of the tiny random SAM 3 in the form of ``facebook/sam3``, a model for videos."""
    return as_published(save_sam3(tmp_path_factory.mktemp("published_sam3"), tiny_tokenizer()))


@pytest.fixture
def tiny_sam3(tiny_sam3_dir) -> BaseModel:
    """A newly loaded tiny SAM 3, which a test may change."""
    return load_sam3(str(tiny_sam3_dir))
