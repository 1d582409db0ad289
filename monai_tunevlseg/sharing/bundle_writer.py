"""Write a self-contained bundle: complete configs, weights and documents."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from monai.bundle import ConfigParser
from torch import Tensor

from monai_tunevlseg.atomic_files import atomic_folder
from monai_tunevlseg.bundles import render_bundle, set_config_values
from monai_tunevlseg.calibration import write_calibration
from monai_tunevlseg.digests import file_digest
from monai_tunevlseg.inspection.known_code import TRAINED_START
from monai_tunevlseg.networks.identity import identity_from_tensor, identity_to_tensor
from monai_tunevlseg.sharing.bundle_spec import BundleSpec, Release
from monai_tunevlseg.sharing.metadata import render_metadata
from monai_tunevlseg.sharing.model_card import render_data_license, render_model_card
from monai_tunevlseg.training import CHECKPOINT

__all__ = ["write_shared_bundle"]

METADATA, CARD = Path("configs", "metadata.json"), Path("docs", "README.md")
JSON_COPIES = ("train", "inference")
"""Configs that are also written as JSON, because ``monai.bundle.load`` reads only JSON."""


def write_shared_bundle(spec: BundleSpec, output_dir: str | Path, configs_dir: str | Path, release: Release) -> Path:
    """Write the bundle of a spec atomically.

    Args:
        spec: content of the bundle.
        output_dir: parent folder of the bundle.
        configs_dir: folder of the config fragments.
        release: release information.

    Returns:
        folder of the bundle.

    Raises:
        FileExistsError: when the bundle exists.
    """
    name = release.name or spec.name
    folder = Path(output_dir) / name
    if folder.exists():
        raise FileExistsError(f"{folder} exists; remove it, or choose another --output or --name.")
    with atomic_folder(folder) as unfinished:
        _write_files(unfinished, name, spec, configs_dir, release)
    return folder


def _write_files(folder: Path, name: str, spec: BundleSpec, configs_dir: str | Path, release: Release) -> None:
    """Write all files of the bundle into an empty folder."""
    written = {"bundle": name, "written": "Written by `tunevlseg share`."}
    texts = render_bundle(configs_dir, spec.facts["bundle"], written)
    del texts[CARD]
    metadata = texts.pop(METADATA)
    _write_texts(folder, _config_files(texts, spec))
    state = _initial_state(folder, spec) if spec.run is None else spec.run.state
    identity = identity_from_tensor(state["_extra_state"])
    if spec.base is not None:
        identity["base_model"] = spec.base.id  # without this machine's folder of the base model
    state["_extra_state"] = identity_to_tensor(identity)
    (folder / CHECKPOINT).parent.mkdir()
    torch.save(state, folder / CHECKPOINT)
    digest = file_digest(folder / CHECKPOINT)  # of the file as written here
    if spec.calibration is not None:
        write_calibration(folder / CHECKPOINT, spec.calibration, digest)
    num_parameters = sum(tensor.numel() for key, tensor in state.items() if key != "_extra_state")
    card = render_model_card(spec, release, identity, num_parameters)
    documents = {METADATA: render_metadata(metadata, spec, release, digest)}
    _write_texts(folder, documents | {CARD: card, Path("docs", "data_license.txt"): render_data_license(spec)})


def _config_files(texts: Mapping[Path, str], spec: BundleSpec) -> dict[Path, str]:
    """Set the values of the spec in all YAML configs, and add the JSON copies."""
    files = dict(texts)
    for path, text in texts.items():
        if path.suffix != ".yaml":
            continue
        start = {"initial_checkpoint": TRAINED_START} if path.stem == "train" and spec.run is not None else {}
        own = spec.image_settings | {"class_names": spec.class_names} if path.stem == "inference" else {}
        files[path] = set_config_values(text, dict(spec.config_values) | start | own)
        if path.stem in JSON_COPIES:
            content = yaml.safe_load(files[path])
            files[path.with_suffix(".json")] = json.dumps(content, indent=4, ensure_ascii=False) + "\n"
    return files


def _initial_state(folder: Path, spec: BundleSpec) -> dict[str, Any]:
    """Return the initial state of training."""
    parser = ConfigParser()
    parser.read_config(str(folder / "configs" / "train.yaml"))
    if spec.base is not None and spec.base.folder is not None:
        parser["pretrained"] = spec.base.folder
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(spec.hyperparameters["seed"]))
        state: dict[str, Tensor] = dict(parser.get_parsed_content("network_def").state_dict())
    return state


def _write_texts(folder: Path, texts: Mapping[Path, str]) -> None:
    for path, text in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
