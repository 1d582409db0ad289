"""The evaluation of a run on one dataset: its images and texts, found and checked before any network runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_tunevlseg.calibration import CALIBRATION
from monai_tunevlseg.data import Case, DatasetSpec, Sample, build_datalists
from monai_tunevlseg.data.class_mapping import map_classes
from monai_tunevlseg.data.datalists import find_splits, read_cases
from monai_tunevlseg.data.sample_masks import mask_paths
from monai_tunevlseg.digests import file_digest
from monai_tunevlseg.hyperparameters import ZERO_SHOT
from monai_tunevlseg.transfer.settings import TEST
from monai_tunevlseg.transfer.source_run import SPEC_OPTIONS, SourceRun
from monai_tunevlseg.transfer.target import Target
from monai_tunevlseg.transfer.text_mapping import map_texts
from monai_tunevlseg.version import __version__

__all__ = ["PlannedEvaluation", "plan_source", "plan_target"]


@dataclass(frozen=True)
class PlannedEvaluation:
    """The evaluation of a run on one dataset.

    Attributes:
        run: the run.
        dataset: name of the dataset.
        spec: how the dataset is read.
        part: the evaluated part of it, "test" or "all".
        cases: the cases of this part, with the run's texts.
        texts: the run's text for each class of the dataset; None for the source, whose texts are the run's own.
        left_out: classes without a text.
        trained: images that the run was trained or validated on.
    """

    run: SourceRun
    dataset: str
    spec: DatasetSpec
    part: str
    cases: Sequence[Case]
    texts: Mapping[str, str] | None
    left_out: tuple[str, ...]
    trained: tuple[Path, ...]

    @property
    def is_source(self) -> bool:
        """Whether this is the dataset of the training."""
        return self.texts is None

    @property
    def stems(self) -> list[str]:
        """The stems of the evaluated images."""
        return [case.stem for case in self.cases]

    @property
    def samples(self) -> list[Sample]:
        """The evaluated samples."""
        return [sample for case in self.cases for sample in case.samples]

    @property
    def images(self) -> list[Path]:
        """The evaluated images."""
        return list(dict.fromkeys(Path(sample["image"]) for sample in self.samples))

    def values(self, overrides: Mapping[str, Any], zero_shot: bool) -> dict[str, Any]:
        """Return the values that replace those of the run's ``evaluate.yaml``, but for the file of the images.

        Args:
            overrides: further hyperparameters.
            zero_shot: whether to use the base model unchanged.
        """
        of_dataset = {name: getattr(self.spec, name) for name in SPEC_OPTIONS}
        values = {
            **self.run.options,
            **{name: value for name, value in overrides.items() if name in self.run.known_options},
            **of_dataset,
            "bundle_root": self.run.config.parents[1],
            "dataset_dir": self.spec.folder,
            "class_names": list(self.spec.encoding().class_names),
            "split": TEST,
            "ckpt_path": self.run.checkpoint,
            "trained_splits": self.run.trained_splits if self.is_source else None,
            "network_def#class_names": list(self.run.identity["class_names"]),
            "datalists#required": [TEST],
        }
        if self.texts is not None:
            values["datalists#class_mapping"] = dict(self.texts)
        return {**values, **(ZERO_SHOT if zero_shot else {})}

    def key(self, overrides: Mapping[str, Any], zero_shot: bool) -> str:
        """Return a digest of all that the result depends on; of images and masks, the path, size and time of change."""
        calibration = self.run.checkpoint.with_name(CALIBRATION)
        files = [Path(path) for sample in self.samples for path in (sample["image"], *mask_paths(sample))]
        content = {
            "values": self.values(overrides, zero_shot),
            "checkpoint": self.run.checkpoint_digest,
            "calibration": file_digest(calibration) if calibration.is_file() else None,
            "config": file_digest(self.run.config),
            "stems": self.stems,
            "files": [_file_state(path) for path in dict.fromkeys(files)],
            "trained": [_file_state(path) for path in self.trained],
            "version": __version__,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def plan_source(run: SourceRun, name: str) -> PlannedEvaluation:
    """Plan the evaluation of a run on the test split of its own dataset, which has this name in tables.

    Raises:
        FileNotFoundError: when files of the dataset are missing.
        ValueError: when the dataset is invalid, or its test split holds images of the training.
    """
    cases = read_cases(run.spec)
    splits = build_datalists(run.spec, trained_splits=run.trained_splits, cases=cases)
    tested = {sample["image"] for sample in splits[TEST]}
    trained = dict.fromkeys(Path(sample["image"]) for name in ("train", "val") for sample in splits[name])
    return PlannedEvaluation(run, name, run.spec, TEST, _cases_of(cases, tested), None, (), tuple(trained))


def plan_target(
    source: PlannedEvaluation,
    target: Target,
    part: str,
    texts: Mapping[str, str],
    skip_unmapped: bool = False,
    tested: Collection[str] | None = None,
) -> PlannedEvaluation:
    """Plan the evaluation of a run on a target.

    Args:
        source: the evaluation on the run's own dataset.
        target: the target.
        part: "all" for all its images, "test" for those of its test split.
        texts: texts of classes, as for `map_texts`.
        skip_unmapped: whether to leave out classes without a text.
        tested: stems of the test split; None = the target's own one.

    Raises:
        FileNotFoundError: when files of the dataset are missing.
        ValueError: when the dataset is invalid, a class has no text, or no image shows a class with a text.
    """
    run, spec = source.run, target.spec(source.run)
    cases = read_cases(spec)
    class_names = list(dict.fromkeys(sample["class_name"] for case in cases for sample in case.samples))
    mapping = map_texts(target.name, class_names, run, texts, skip_unmapped)
    if part == TEST:
        stems = set(find_splits(spec, cases)[TEST] if tested is None else tested)
        cases = [case for case in cases if case.stem in stems]
    mapped = [case for case in map_classes(cases, mapping) if case.samples]
    if not mapped:
        raise ValueError(
            f"no image of the target {target.name} in {spec.folder} shows a class with a text; check its splits and "
            "classes."
        )
    left_out = tuple(name for name in class_names if name not in mapping)
    return PlannedEvaluation(run, target.name, spec, part, mapped, mapping, left_out, source.trained)


def _cases_of(cases: Sequence[Case], images: Collection[str]) -> list[Case]:
    """Return the cases of images."""
    return [case for case in cases if case.samples and case.samples[0]["image"] in images]


def _file_state(path: Path) -> list[Any]:
    status = path.stat()
    return [str(path), status.st_size, status.st_mtime_ns]
