"""A trained run as the source of a transfer: its network, and the dataset that it was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_tunevlseg.data import LAYOUTS, DatasetSpec
from monai_tunevlseg.data.text_sets import text_key
from monai_tunevlseg.digests import file_digest
from monai_tunevlseg.json_files import read_json_object
from monai_tunevlseg.networks import IMAGE_ONLY_NETWORKS
from monai_tunevlseg.networks.identity import identity_from_tensor
from monai_tunevlseg.training import CHECKPOINT, CHECKPOINT_DIGEST, HYPERPARAMETERS, read_weights
from monai_tunevlseg.untrusted_values import refuse_expressions
from monai_tunevlseg.yaml_files import read_yaml_mapping

__all__ = ["SPEC_OPTIONS", "SourceRun", "find_run_folder", "read_source_run", "trained_texts"]

EVALUATION = Path("configs", "evaluate.yaml")
PLACES = (Path(), Path("best"), Path("search", "best"))
"""Places of a trained bundle in the folder of a run, of a search, and of an experiment of a benchmark."""
SPEC_OPTIONS = (
    *("class_names", "layout", "splits_file", "label_values", "mask_threshold", "mask_ending", "group_pattern"),
    *("slice_axis", "intensity_window", "neutral_text", "text_source"),
)
"""Hyperparameters that describe a dataset, in addition to its folder."""
RECORDED_OPTIONS = ("pretrained", "image_size", "image_mean", "image_std", "antialias", "precision")
"""Hyperparameters of the network and its input that the checkpoint does not hold."""


@dataclass(frozen=True)
class SourceRun:
    """A trained run.

    Attributes:
        label: name of the run in tables.
        folder: folder with ``models/model.pt``.
        config: ``evaluate.yaml`` of its bundle.
        identity: identity of the network, from the checkpoint.
        checkpoint_digest: digest of the checkpoint.
        known_options: names of the top-level values of ``config``.
        options: those of them with which it builds the network as trained, with their values.
        spec: the dataset that it was trained on.
        trained_splits: file of the splits of the training; None if it is not kept.
    """

    label: str
    folder: Path
    config: Path
    identity: Mapping[str, Any]
    checkpoint_digest: str
    known_options: frozenset[str]
    options: Mapping[str, Any]
    spec: DatasetSpec
    trained_splits: Path | None

    @property
    def checkpoint(self) -> Path:
        """The checkpoint."""
        return self.folder / CHECKPOINT

    @property
    def dataset(self) -> str:
        """Name of the dataset that it was trained on: the public one, or that of the folder."""
        return self.spec.layout if LAYOUTS[self.spec.layout].info else self.spec.folder.resolve().name

    @property
    def reads_text(self) -> bool:
        """Whether the network has a base model that reads texts."""
        return self.identity["network"] not in {IMAGE_ONLY_NETWORKS[name].__name__ for name in IMAGE_ONLY_NETWORKS}

    @property
    def texts(self) -> dict[str, str]:
        """The texts that it was trained with, as `trained_texts` gives them."""
        return trained_texts(self.spec)


def trained_texts(spec: DatasetSpec) -> dict[str, str]:
    """Return the texts of a run on a dataset: by each class name, as `text_key` gives it, the text of the class."""
    neutral, names = spec.neutral_text, spec.encoding().class_names
    if neutral is None:
        return {text_key(name): name for name in names}
    return {text_key(name): neutral for name in (*names, neutral)}


def find_run_folder(folder: str | Path) -> Path:
    """Return the folder with ``models/model.pt`` of a run, a search, an experiment of a benchmark or a shared bundle.

    Raises:
        FileNotFoundError: when it has none.
    """
    found = next((Path(folder) / place for place in PLACES if (Path(folder) / place / CHECKPOINT).is_file()), None)
    if found is None:
        raise FileNotFoundError(
            f"{folder} has no {CHECKPOINT.as_posix()}; pass the bundle_root of a finished training, the output folder "
            "of a search, or a shared bundle."
        )
    return found.absolute()


def read_source_run(
    folder: str | Path,
    bundles_dir: str | Path,
    label: str | None = None,
    dataset_dir: str | Path | None = None,
    known_dirs: Mapping[str, str | Path] | None = None,
) -> SourceRun:
    """Read a trained run.

    Args:
        folder: a folder as for `find_run_folder`.
        bundles_dir: folder of the bundles, for a run without configs of its own.
        label: name of the run in tables; None = the name of its folder.
        dataset_dir: folder of the dataset that it was trained on; None = as in training.
        known_dirs: folders of public datasets by name, for a run whose own one is missing.

    Raises:
        FileNotFoundError: when the checkpoint, the bundle or the dataset is missing.
        ValueError: when a file of the run is damaged or belongs to another checkpoint.
    """
    place = find_run_folder(folder)
    checkpoint = place / CHECKPOINT
    state = read_weights(checkpoint)
    if "_extra_state" not in state:
        raise ValueError(f"{checkpoint} is not a checkpoint of this package: no _extra_state.")
    identity, digest = identity_from_tensor(state["_extra_state"]), file_digest(checkpoint)
    refuse_expressions(identity, f"the checkpoint {checkpoint}")
    record = _read_record(checkpoint, digest)
    config = _find_config(place, identity, Path(bundles_dir))
    content = read_yaml_mapping(config)
    return SourceRun(
        label or Path(folder).resolve().name,
        place,
        config,
        identity,
        digest,
        frozenset(content),
        _network_options(identity, record, content),
        _source_spec(place, content, record, dataset_dir, known_dirs or {}),
        _find_splits(place, record),
    )


def _read_record(checkpoint: Path, digest: str) -> dict[str, Any]:
    """Return the hyperparameters that led to a checkpoint; empty without a record, as in a shared bundle."""
    path = checkpoint.with_name(HYPERPARAMETERS)
    if not path.is_file():
        return {}
    record = read_json_object(path)
    if record.get(CHECKPOINT_DIGEST) != digest:
        raise ValueError(f"{path} was not written together with {checkpoint}; resume or repeat the training.")
    names = (*SPEC_OPTIONS, *RECORDED_OPTIONS, "dataset_dir", "output_dir")
    used = {name: record[name] for name in names if name in record}
    refuse_expressions(used, str(path))
    return used


def _find_config(folder: Path, identity: Mapping[str, Any], bundles_dir: Path) -> Path:
    """Return the ``evaluate.yaml`` of the run, or else of the bundle with its network and method."""
    if (own := folder / EVALUATION).is_file():
        return own
    wanted = identity["network"], identity.get("method")
    for path in sorted(bundles_dir.glob(f"*/{EVALUATION.as_posix()}")):
        content = read_yaml_mapping(path)
        if (content["network_def"]["_target_"].rpartition(".")[2], content.get("method")) == wanted:
            return path
    raise FileNotFoundError(
        f"{folder} has no {EVALUATION.as_posix()}, and no bundle in {bundles_dir} has the network {wanted[0]} with the "
        f"method {wanted[1]}; pass --bundles-dir with the bundle of the run."
    )


def _network_options(
    identity: Mapping[str, Any], record: Mapping[str, Any], content: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the hyperparameters of the network that the config has; those in the checkpoint take precedence."""
    values = {name: record[name] for name in RECORDED_OPTIONS if name in record}
    values |= {name: identity[name] for name in ("method", "unfreeze", "upsampler") if name in identity}
    values |= {**identity.get("method_kwargs", {}), **identity.get("settings", {})}
    return {name: value for name, value in values.items() if name in content}


def _source_spec(
    folder: Path,
    content: Mapping[str, Any],
    record: Mapping[str, Any],
    dataset_dir: str | Path | None,
    known_dirs: Mapping[str, str | Path],
) -> DatasetSpec:
    """Return the dataset of the training; of a shared bundle, which names no folder, the user gives it."""
    options = {name: record.get(name, content.get(name)) for name in SPEC_OPTIONS if name in {**content, **record}}
    recorded = record.get("dataset_dir")
    exists = recorded is not None and Path(recorded).expanduser().is_dir()
    layout = options.get("layout", "folder")
    public = LAYOUTS[layout].info is not None
    found = dataset_dir or (recorded if exists else known_dirs.get(layout) if public else None)
    if found is None:
        named = f"{recorded}, is missing" if recorded else f"{layout if public else 'a folder of images'}, is not named"
        way = f"--on {layout}=DIR or --source-dir DIR" if public else "--source-dir DIR"
        raise FileNotFoundError(f"the dataset that {folder} was trained on, {named}; pass it with {way}.")
    if not Path(found).expanduser().is_dir():
        raise FileNotFoundError(f"{found}, the dataset of the training of {folder}, is not a folder; correct the path.")
    return DatasetSpec(found, every_slice=True, **options)


def _find_splits(folder: Path, record: Mapping[str, Any]) -> Path | None:
    places = [folder / "eval", *([Path(record["output_dir"])] if "output_dir" in record else [])]
    return next((path.absolute() for place in places if (path := place / "splits.json").is_file()), None)
