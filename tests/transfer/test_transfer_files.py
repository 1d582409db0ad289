"""``transfer.json``, ``transfer.csv`` and the matrix of hand-made results."""

from __future__ import annotations

import csv
import json

import pytest

from monai_tunevlseg.transfer import dataset_columns, matrix_rows, read_transfer, write_matrix
from monai_tunevlseg.transfer.result_files import write_transfer


def dataset(name, dice, part="all"):
    return {
        **{"name": name, "part": part, "pairs": 3, "images": 2},
        **{"scores": {"dice": dice}, "intervals": {"dice": [dice - 1, dice + 1]}},
    }


def result(run, trained_on, own, **targets):
    others = [dataset(name, dice) for name, dice in targets.items()]
    ood = sum(targets.values()) / len(targets)
    values = {"id": own, "ood": ood, "harmonic_mean": 2 * own * ood / (own + ood)}
    summary = {"dice": values | {f"{name}_interval": None for name in values}}
    tuned = {"source": dataset(trained_on, own, "test"), "targets": others, "summary": summary}
    return {
        **{"run": run, "trained_on": trained_on, "checkpoint_digest": "0" * 16},
        **{"tuned": tuned, "zero_shot": None},
    }


def test_files_are_read_as_written(tmp_path):
    made = result("a", "kvasir", 90.0, bkai=60.0, etis=30.0)
    write_transfer(tmp_path, made)
    assert read_transfer(tmp_path) == made
    rows = list(csv.DictReader((tmp_path / "transfer.csv").open()))
    assert [row["role"] for row in rows] == ["source", "target", "target", "ood", "harmonic_mean"]
    assert [float(row["dice"]) for row in rows] == [90, 60, 30, 45, 60]
    assert (rows[1]["dice_low"], rows[1]["part"], rows[3]["dice_low"]) == ("59.0", "all", "")


def test_the_matrix_has_the_trained_datasets_first_and_gaps_where_nothing_was_tested(tmp_path):
    rows = matrix_rows(
        [result("a|b", "kvasir", 90.0, etis=30.0, bkai=60.0), result("c", "bkai", 80.0, kvasir=20.0)], "dice"
    )
    assert dataset_columns(rows) == ["kvasir", "bkai", "etis"]
    write_matrix(tmp_path, rows, "dice")
    table = list(csv.DictReader((tmp_path / "matrix.csv").open()))
    assert [table[1][name] for name in ("kvasir", "bkai", "etis", "id", "ood")] == ["20.0", "80.0", "", "80.0", "20.0"]
    lines = (tmp_path / "matrix.md").read_text().splitlines()
    assert lines[4].startswith("| a\\|b | kvasir | **90.00** (89.00 to 91.00) | 60.00 (59.00 to 61.00) |")
    assert lines[5] == "| c | bkai | 20.00 (19.00 to 21.00) | **80.00** (79.00 to 81.00) | – | 80.00 | 20.00 | 32.00 |"


def test_an_unmeasured_metric_is_refused():
    with pytest.raises(ValueError, match=r"a has no metric 'iou'.*dice"):
        matrix_rows([result("a", "kvasir", 90.0, etis=30.0)], "iou")


@pytest.mark.parametrize(
    ("changes", "values"),
    [
        ({"format_version": 0}, r"transfer\.json has format version 0"),
        ({"format_version": None}, r"transfer\.json has format version None"),
        ({"tuned": {}}, r"transfer\.json is damaged: \$\.tuned"),
        ({"trained_on": 3}, r"transfer\.json is damaged: \$\.trained_on"),
    ],
)
def test_results_of_another_format_and_damaged_ones_are_refused(tmp_path, changes, values):
    write_transfer(tmp_path, result("a", "kvasir", 90.0, bkai=60.0))
    path = tmp_path / "transfer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ValueError, match=values):
        read_transfer(tmp_path)
