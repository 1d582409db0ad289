"""One score of several runs on the same pairs, as arrays: the form that statistics over seeds and cases need."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from monai_tunevlseg.evaluation.bootstrap import Bootstrap
from monai_tunevlseg.evaluation.crossed_bootstrap import CrossedMean, crossed_mean
from monai_tunevlseg.evaluation.metrics import PAIR_METRICS
from monai_tunevlseg.evaluation.pair_scores import PairKey, PairScores, pair_name, read_pair_scores
from monai_tunevlseg.messages import shorten

__all__ = ["ScoreTable", "mean_over_seeds", "read_score_table", "tabulate"]


OWN_AREA = "label_pixels_original"


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """One score of the runs of a method with different seeds.

    Attributes:
        score: name of the score, of ``PAIR_METRICS``.
        keys: keys of the P pairs.
        clusters: cluster of each pair.
        areas: pixels of each mask at the image's own resolution, (P,).
        foreground: whether each mask has foreground at the resolution of the score in the first run, (P,).
        values: scores of each run, (S, P), in the unit of the score; NaN where not measured.
    """

    score: str
    keys: Sequence[PairKey]
    clusters: Sequence[str]
    areas: np.ndarray
    foreground: np.ndarray
    values: np.ndarray

    @property
    def runs(self) -> int:
        """Number of runs."""
        return len(self.values)

    @property
    def measured(self) -> np.ndarray:
        """Whether every run has the score of a pair, (P,)."""
        return np.isfinite(self.values).all(axis=0)

    def take(self, pairs: np.ndarray) -> ScoreTable:
        """Return some of the pairs, by their numbers or a mask (P,)."""
        numbers = np.arange(len(self.keys))[pairs]
        return replace(
            self,
            keys=[self.keys[number] for number in numbers],
            clusters=[self.clusters[number] for number in numbers],
            areas=self.areas[numbers],
            foreground=self.foreground[numbers],
            values=self.values[:, numbers],
        )

    def chosen(self, foreground_only: bool = False, class_name: str | None = None) -> ScoreTable:
        """Return the measured pairs, or those of them with foreground, or of a class."""
        chosen = self.measured & self.foreground if foreground_only else self.measured
        if class_name is not None:
            chosen = chosen & np.array([name == class_name for _, _, name in self.keys], dtype=bool)
        return self if chosen.all() else self.take(chosen)

    def stack(self, others: Sequence[ScoreTable]) -> ScoreTable:
        """Return the runs of this and of other tables of the same pairs, in the order of this one.

        Raises:
            ValueError: when a table has other pairs, or masks of other areas.
        """
        values = [self.values]
        for other in others:
            if other.keys != self.keys:
                numbers = {key: number for number, key in enumerate(other.keys)}
                if differing := numbers.keys() ^ set(self.keys):
                    names = shorten(sorted(map(pair_name, differing)), most=3)
                    raise ValueError(f"runs with different seeds were not tested on the same pairs: {names}.")
                other = other.take(np.array([numbers[key] for key in self.keys]))
            if (other.areas != self.areas).any():
                raise ValueError("runs with different seeds were tested on masks of different areas.")
            values.append(other.values)
        return replace(self, values=np.concatenate(values)) if others else self


def tabulate(pairs: Sequence[PairScores], score: str) -> ScoreTable:
    """Return one score of one run."""
    return ScoreTable(
        score,
        [pair.key for pair in pairs],
        [pair.cluster for pair in pairs],
        np.array([pair.label_pixels_original for pair in pairs], dtype=float),
        np.array([pair.has_foreground(score) for pair in pairs], dtype=bool),
        np.array([[math.nan if (value := pair.score(score)) is None else value for pair in pairs]], dtype=float),
    )


def read_score_table(paths: Sequence[Path], score: str) -> ScoreTable:
    """Read one score of the runs with different seeds.

    Args:
        paths: folder of each run's evaluation, one or more.
        score: name of a score, of ``PAIR_METRICS``.

    Raises:
        FileNotFoundError: when a folder has no ``pairs.csv``.
        ValueError: when a file is not such a table, or the runs were tested on different pairs or masks.
    """
    first, *others = (
        _read_columns(path / "pairs.csv", score) or tabulate(read_pair_scores(path, required=[score]), score)
        for path in paths
    )
    return first.stack(others)


def mean_over_seeds(table: ScoreTable, bootstrap: Bootstrap) -> CrossedMean | None:
    """Return the mean of a table's runs and pairs, whose interval is cut to the range of the score; None without pairs.

    Args:
        table: measured pairs.
        bootstrap: settings of the interval.
    """
    if not table.keys:
        return None
    mean = crossed_mean([table.values], table.clusters, bootstrap)
    return replace(mean, interval=mean.interval_within(0.0, _highest(table.score)))


def _highest(score: str) -> float:
    return 100.0 if PAIR_METRICS[score].unit == "%" else math.inf


def _read_columns(path: Path, score: str) -> ScoreTable | None:
    """Read only the columns of a score, several times faster than all; None for a file that is in any way unusual."""
    try:
        text = path.read_text(encoding="utf-8")
        if "'" in text or '"' in text:  # escaped texts
            return None
        names, *rows = csv.reader(io.StringIO(text, newline=""))
        columns = dict(zip(names, zip(*rows, strict=True), strict=True))
        images, classes, groups = columns["image"], columns["class_name"], columns["group"]
        slices = [None if math.isnan(number) else int(number) for number in _numbers(columns["slice"], whole=True)]
        area, own_area = (_numbers(columns[name], whole=True) for name in (PAIR_METRICS[score].area, OWN_AREA))
        values = _numbers(columns[score], _highest(score))
    except (OSError, ValueError, KeyError, csv.Error):
        return None
    keys: list[PairKey] = list(zip(images, slices, classes, strict=True))
    if not all(images) or not all(classes) or len(set(keys)) < len(keys):
        return None
    clusters = [group or image for group, image in zip(groups, images, strict=True)]
    return ScoreTable(score, keys, clusters, np.nan_to_num(own_area), np.nan_to_num(area) > 0, values[None])


def _numbers(cells: Sequence[str], highest: float = math.inf, whole: bool = False) -> np.ndarray:
    """Return the numbers of a column, NaN in empty cells.

    Raises:
        ValueError: when a cell is not a number of 0 or more, up to the highest, and whole if so asked.
    """
    given = np.array([bool(cell) for cell in cells])
    numbers = np.full(len(cells), math.nan)
    numbers[given] = known = np.array([float(cell) for cell in cells if cell])
    if not np.all(np.isfinite(known) & (known >= 0) & (known <= highest)) or (whole and np.any(known % 1)):
        raise ValueError("a number is out of range.")
    return numbers
