import json

import pytest
import torch
from monai.engines import SupervisedEvaluator
from monai.handlers import IgniteMetricHandler
from monai.metrics import MSEMetric
from torch import nn
from torch.utils.data import DataLoader

from monai_tunevlseg.training import ValidationCurve, read_curve


@pytest.fixture
def evaluator():
    samples = [{"image": torch.tensor([float(n)]), "label": torch.tensor([2.0])} for n in range(4)]
    score = IgniteMetricHandler(
        metric_fn=MSEMetric(),
        output_transform=lambda out: ([o["pred"] for o in out], [o["label"] for o in out]),
    )
    loader = DataLoader(samples, batch_size=2)
    return SupervisedEvaluator("cpu", loader, nn.Linear(1, 1), key_val_metric={"score": score})


def test_every_validation_adds_its_line(evaluator, tmp_path):
    path = tmp_path / "eval" / "validation.jsonl"
    ValidationCurve(path).attach(evaluator)
    for epoch in (1, 2, 4):  # the third was not validated
        with torch.no_grad():
            evaluator.network.bias.fill_(epoch)
        evaluator.run(epoch)
        assert read_curve(path)[-1]["score"] == pytest.approx(evaluator.state.metrics["score"])
    lines = read_curve(path)
    assert [line["epoch"] for line in lines] == [1, 2, 4]
    assert len({line["score"] for line in lines}) == 3
    assert all(line["peak_memory_bytes"] > 1e6 for line in lines)
    assert [json.loads(line) for line in path.read_text().splitlines()] == lines


def test_a_run_that_goes_on_keeps_what_lies_before_its_epoch(evaluator, tmp_path):
    path = tmp_path / "validation.jsonl"
    path.write_text("".join(json.dumps({"epoch": epoch, "old": True}) + "\n" for epoch in (1, 2, 3)))
    ValidationCurve(path).attach(evaluator)
    evaluator.run(3)
    assert [line.get("old", False) for line in read_curve(path)] == [True, True, False]


def test_a_run_that_starts_anew_drops_the_earlier_one_even_a_damaged_one(evaluator, tmp_path):
    path = tmp_path / "validation.jsonl"
    path.write_text("no json\n")
    ValidationCurve(path).attach(evaluator)
    evaluator.run(1)
    assert [line["epoch"] for line in read_curve(path)] == [1]


def test_no_file_is_no_curve_yet(tmp_path):
    assert read_curve(tmp_path / "none.jsonl") == []


@pytest.mark.parametrize("content", ['{"epoch": 1', "[]\n", '{"score": 1}\n', '{"epoch": null}\n', "\xff"])
def test_a_damaged_curve_is_named(content, tmp_path):
    path = tmp_path / "validation.jsonl"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(ValueError, match=r"validation\.jsonl is damaged"):
        read_curve(path)
