import csv
import json

import pytest
import torch
from monai.engines import SupervisedEvaluator
from monai.handlers import IgniteMetricHandler, from_engine
from monai.metrics import DiceMetric
from torch import nn
from torch.utils.data import DataLoader

from monai_tunevlseg.evaluation import Case, CaseReport, summarize


def square(size):
    """Return an 8x8 mask with ``size`` pixels set."""
    mask = torch.zeros(64)
    mask[:size] = 1
    return mask.view(1, 8, 8)


# prediction, mask, Dice in percent worked out by hand
CASES = [
    (square(8), square(8), 100.0),
    (square(4), square(12), 50.0),
    (square(4), square(0), 0.0),
    (square(0), square(4), 0.0),
    (square(0), square(0), 100.0),
]


def evaluate(folder, batch_size=2):
    samples = [
        {"image": prediction, "label": mask, "path": f"/data/{number}.png", "text": "polyp" if number else "ulcer"}
        for number, (prediction, mask, _) in enumerate(CASES)
    ]
    metrics = {
        name: IgniteMetricHandler(
            metric_fn=DiceMetric(ignore_empty=ignore), output_transform=from_engine(["pred", "label"])
        )
        for name, ignore in (("dice", False), ("dice_foreground", True))
    }
    engine = SupervisedEvaluator(
        device="cpu",
        val_data_loader=DataLoader(samples, batch_size=batch_size),
        network=nn.Identity(),
        key_val_metric={"dice": metrics["dice"]},
        additional_metrics={"dice_foreground": metrics["dice_foreground"]},
        val_handlers=[CaseReport(folder, split="val")],
    )
    engine.run()
    return engine


def test_the_report_agrees_with_hand_and_with_monai(tmp_path):
    engine = evaluate(tmp_path)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["split"] == "val"
    assert (metrics["pairs"], metrics["pairs_with_foreground"]) == (5, 3)
    assert metrics["dice"] == pytest.approx(50.0)
    assert metrics["dice_foreground"] == pytest.approx(50.0)
    assert metrics["dice"] == pytest.approx(100 * engine.state.metrics["dice"])
    assert metrics["dice_foreground"] == pytest.approx(100 * engine.state.metrics["dice_foreground"])
    assert metrics["classes"]["ulcer"] == {
        "pairs": 1,
        "dice": 100.0,
        "pairs_with_foreground": 1,
        "dice_foreground": 100.0,
    }
    assert metrics["classes"]["polyp"]["dice"] == pytest.approx(37.5)


def test_there_is_one_row_for_each_pair_in_their_order(tmp_path):
    evaluate(tmp_path)
    rows = list(csv.DictReader((tmp_path / "cases.csv").open()))
    assert [row["image"] for row in rows] == [f"/data/{number}.png" for number in range(5)]
    assert [float(row["dice"]) for row in rows] == pytest.approx([dice for *_, dice in CASES])
    assert [int(row["label_pixels"]) for row in rows] == [8, 12, 0, 4, 0]
    assert [int(row["predicted_pixels"]) for row in rows] == [8, 4, 4, 0, 0]
    assert {row["slice"] for row in rows} == {""}


def test_an_evaluator_that_runs_twice_reports_the_second_run(tmp_path):
    evaluate(tmp_path).run()
    assert len(list(csv.DictReader((tmp_path / "cases.csv").open()))) == 5


def test_without_any_foreground_there_is_no_foreground_mean():
    assert summarize([Case("a", None, "polyp", 100.0, 0, 0)])["dice_foreground"] is None


def test_nothing_to_summarize_is_an_error():
    with pytest.raises(ValueError, match="no case"):
        summarize([])
