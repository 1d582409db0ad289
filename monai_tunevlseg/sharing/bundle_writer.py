"""Writing a bundle that needs nothing but the installed package: its configs in one piece, weights, documents."""

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
from monai_tunevlseg.bundles import render_bundle, with_values
from monai_tunevlseg.networks.identity import decode_identity, encode_identity
from monai_tunevlseg.sharing.bundle_spec import BundleSpec, Release, Sources, build_bundle_spec
from monai_tunevlseg.sharing.model_card import data_license, metadata, model_card
from monai_tunevlseg.training import CHECKPOINT

__all__ = ["share_bundle", "write_shared_bundle"]

START = "$@bundle_root + '/models/model.pt'"
METADATA, CARD = Path("configs", "metadata.json"), Path("docs", "README.md")
JSON_COPIES = ("train", "inference")
"""Configs that are there as JSON too, for ``monai.bundle.load`` reads nothing else."""


def share_bundle(
    experiment: str,
    output_dir: str | Path,
    run_dir: str | Path | None = None,
    sources: Sources | None = None,
    release: Release | None = None,
) -> Path:
    """Write a self-contained bundle.

    Args:
        experiment: DATASET/MODEL_METHOD.
        output_dir: gets a folder with the bundle's name.
        run_dir: where a run of the experiment wrote ``models/model.pt``, or a search's folder ``best``; None = the
            weights that training starts from, untrained.
        sources: where else parts come from.
        release: name, version and people.

    Returns:
        the bundle's folder.

    Raises:
        FileExistsError: when the bundle is there already.
        FileNotFoundError: when the run has no checkpoint, or the base model is nowhere.
        ValueError: when there is no such experiment, or the checkpoint is not one of it.
    """
    sources = sources or Sources()
    return write_shared_bundle(
        build_bundle_spec(experiment, run_dir, sources), output_dir, sources.configs_dir, release or Release()
    )


def write_shared_bundle(spec: BundleSpec, output_dir: str | Path, configs_dir: str | Path, release: Release) -> Path:
    """Write what :func:`~monai_tunevlseg.sharing.build_bundle_spec` has put together; atomic.

    Returns:
        the bundle's folder.

    Raises:
        FileExistsError: when the bundle is there already.
    """
    name = release.name or spec.name
    folder = Path(output_dir) / name
    if folder.exists():
        raise FileExistsError(f"{folder} exists already; remove it, or choose another --output or --name.")
    with atomic_folder(folder) as unfinished:
        _fill(unfinished, name, spec, configs_dir, release)
    return folder


def _fill(made: Path, name: str, spec: BundleSpec, configs_dir: str | Path, release: Release) -> None:
    written = {"bundle": name, "written": "Written by `tunevlseg share`."}
    texts = render_bundle(configs_dir, spec.facts["bundle"], written)
    del texts[CARD]
    texts[METADATA] = metadata(texts[METADATA], spec, release, name)
    _write(made, _baked(texts, spec))
    state = _start_state(made, spec) if spec.run is None else spec.run.state
    identity = decode_identity(state["_extra_state"]) | {"base_model": spec.base.id}
    state["_extra_state"] = encode_identity(identity)  # without the folder where the base model was
    (made / CHECKPOINT).parent.mkdir()
    torch.save(state, made / CHECKPOINT)
    weights = sum(tensor.numel() for key, tensor in state.items() if key != "_extra_state")
    card = model_card(spec, release, name, identity, weights)
    _write(made, {CARD: card, Path("docs", "data_license.txt"): data_license(spec)})


def _baked(texts: Mapping[Path, str], spec: BundleSpec) -> dict[Path, str]:
    """Put the experiment's values into the configs, and add those that are to be there as JSON."""
    files = dict(texts)
    for path, text in texts.items():
        if path.suffix != ".yaml":
            continue
        start = {"initial_checkpoint": START} if path.stem == "train" and spec.run is not None else {}
        files[path] = with_values(text, dict(spec.baked) | start)
        if path.stem in JSON_COPIES:
            content = yaml.safe_load(files[path])
            files[path.with_suffix(".json")] = json.dumps(content, indent=4, ensure_ascii=False) + "\n"
    return files


def _start_state(made: Path, spec: BundleSpec) -> dict[str, Any]:
    """Return what training would start from."""
    parser = ConfigParser()
    parser.read_config(str(made / "configs" / "train.yaml"))
    if spec.base.folder is not None:
        parser["pretrained"] = spec.base.folder
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(spec.values["seed"]))
        state: dict[str, Tensor] = dict(parser.get_parsed_content("network_def").state_dict())
    return state


def _write(folder: Path, texts: Mapping[Path, str]) -> None:
    for path, text in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
