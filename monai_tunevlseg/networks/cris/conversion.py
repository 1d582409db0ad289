"""Conversion of the published checkpoints of CLIP and CRIS into a folder for ``load_cris``."""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from monai_tunevlseg.networks.cris.config import CRISConfig
from monai_tunevlseg.networks.cris.loading import compare_weights, empty_cris, read_tokenizer, save_cris
from monai_tunevlseg.networks.cris.torchscript_archive import is_torchscript, read_tensors
from monai_tunevlseg.networks.pretrained_folder import error_reason

__all__ = ["convert_cris"]

Weights = dict[str, Tensor]

HEAD_DIM = 64  # channels of each attention head of CLIP
CLIP_SETTINGS = {"input_resolution", "context_length", "vocab_size"}  # settings among the weights in CLIP's archive
ONLY_IN_CRIS = "visual.attnpool.connect."


def convert_cris(clip: Path, cris: Path, tokenizer: Path, output_dir: Path) -> Path:
    """Check the published checkpoints, and write the folder of a CRIS base model.

    The encoders' sizes are those of CLIP. All weights are those of CRIS, which was initialized from CLIP. Settings
    that no weight shows are those of the release: heads of 64 channels in the encoders, 8 heads and 3 layers in the
    decoder.

    Args:
        clip: CLIP's ``RN50.pt``, a TorchScript archive, or its state dict.
        cris: CRIS's ``cris_best.pth``: a state dict, optionally below ``state_dict``, with an optional prefix
            ``module.`` of its names.
        tokenizer: folder of CLIP's tokenizer in transformers' format.
        output_dir: folder to write; missing or empty.

    Raises:
        FileNotFoundError: when a file is missing.
        FileExistsError: when ``output_dir`` is not empty.
        ValueError: when a file is not a checkpoint, or tensors are missing, unexpected or misshapen; lists them.
    """
    clip_weights, cris_weights = read_clip(clip), read_state_dict(cris)
    try:
        config = _sizes(clip_weights, cris_weights)
    except KeyError as error:
        raise ValueError(f"{clip} is not a CLIP with a ResNet: {error} is missing; pass RN50.pt.") from error
    except ValueError as error:
        raise ValueError(f"{clip} and {cris} do not belong together: {error}") from error
    model = empty_cris(config)
    expected = model.state_dict()
    _check_clip(expected, clip_weights, clip)
    if differences := compare_weights(expected, cris_weights):
        raise ValueError(f"{cris} is not a checkpoint of CRIS on the CLIP of {clip}: {differences}.")
    words = read_tokenizer(tokenizer, config.vocab_size)
    model.load_state_dict(cris_weights, assign=True)
    return save_cris(model.float(), words, output_dir)


def read_clip(file: Path) -> Weights:
    """Read CLIP's weights from a state dict or from its TorchScript archive, whose code never runs.

    Raises:
        FileNotFoundError: when the file is missing.
        ValueError: when it is neither of these, or cannot be read safely.
    """
    weights = read_tensors(file) if is_torchscript(file) else read_state_dict(file)
    return {name: value for name, value in weights.items() if name not in CLIP_SETTINGS}


def read_state_dict(file: Path) -> Weights:
    """Read a state dict, optionally below ``state_dict``, and remove the prefix ``module.`` from its names.

    Raises:
        FileNotFoundError: when the file is missing.
        ValueError: when it is not a checkpoint, or could run code when read.
    """
    try:
        content = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"the checkpoint {file} does not exist.") from error
    except Exception as error:  # the unpickler fails with any exception on malformed bytes
        raise ValueError(f"{file} is not a checkpoint that can be read safely: {error_reason(error)}.") from error
    weights = content.get("state_dict", content) if isinstance(content, Mapping) else None
    if not isinstance(weights, Mapping) or not _is_state_dict(weights):
        raise ValueError(f"{file} holds neither a state dict nor one below 'state_dict'.")
    return {name.removeprefix("module."): value for name, value in weights.items()}


def _is_state_dict(content: Mapping[Any, Any]) -> bool:
    return all(isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items())


def _sizes(clip: Weights, cris: Weights) -> CRISConfig:
    """Derive the sizes from the weights' shapes; a missing tensor of CRIS, which is reported later, has the release's.

    Raises:
        KeyError: when the encoders are not those of a CLIP with a ResNet.
        ValueError: when two sizes contradict each other.
    """
    width, text_width = len(clip["visual.bn3.weight"]), len(clip["ln_final.weight"])
    places = len(clip["visual.attnpool.positional_embedding"])
    release = CRISConfig()
    blocks = [_count(clip, rf"visual\.layer{stage}\.(\d+)\.") for stage in (1, 2, 3, 4)]
    neck = [_rows(cris, f"neck.f{level}_v_proj.0.weight", release.neck_dims[3 - level]) for level in (3, 2, 1)]
    return CRISConfig(
        vocab_size=len(clip["token_embedding.weight"]),
        text_width=text_width,
        text_layers=_count(clip, r"transformer\.resblocks\.(\d+)\."),
        text_heads=text_width // HEAD_DIM,
        vision_width=width,
        vision_blocks=(blocks[0], blocks[1], blocks[2], blocks[3]),
        vision_heads=32 * width // HEAD_DIM,
        vision_grid=math.isqrt(places - 1),
        embed_dim=clip["text_projection"].shape[1],
        neck_dims=(neck[0], neck[1], neck[2]),
        decoder_ffn_dim=_rows(cris, "decoder.layers.0.ffn.0.weight", release.decoder_ffn_dim),
    )


def _count(weights: Weights, pattern: str) -> int:
    """Count the distinct matches of the pattern's group at the start of names."""
    return len({match[1] for name in weights if (match := re.match(pattern, name))})


def _rows(weights: Weights, name: str, otherwise: int) -> int:
    return len(weights[name]) if name in weights else otherwise


def _check_clip(expected: Mapping[str, Tensor], clip: Weights, file: Path) -> None:
    prefix = "backbone."
    encoders = {
        name.removeprefix(prefix): value
        for name, value in expected.items()
        if name.startswith(prefix) and not name.startswith(prefix + ONLY_IN_CRIS)
    }
    # batch norms' counters depend on the version of PyTorch that wrote the archive
    counters = [name for name in encoders if name.endswith("num_batches_tracked")]
    if differences := compare_weights(encoders, clip, optional=counters):
        raise ValueError(f"{file} is not the CLIP that CRIS builds on: {differences}.")
