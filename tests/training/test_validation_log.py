import json
import resource
from pathlib import Path
from statistics import median
from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Engine
from monai.engines import SupervisedEvaluator
from monai.handlers import IgniteMetricHandler
from monai.metrics import MSEMetric
from torch import nn
from torch.utils.data import DataLoader

from monai_tunevlseg.atomic_files import unfinished_path
from monai_tunevlseg.training import ValidationLogger, read_validation_log


@pytest.fixture
def evaluator():
    samples = [{"image": torch.tensor([float(n)]), "label": torch.tensor([2.0])} for n in range(4)]
    score = IgniteMetricHandler(
        metric_fn=MSEMetric(),
        output_transform=lambda out: ([o["pred"] for o in out], [o["label"] for o in out]),
    )
    loader = DataLoader(samples, batch_size=2)
    return SupervisedEvaluator("cpu", loader, nn.Linear(1, 1), key_val_metric={"score": score})


def train(evaluator, path, validated, state=None):
    """Run a trainer that validates after some of its epochs; return the logger."""
    logger = ValidationLogger(evaluator, path)
    trainer = Engine(lambda engine, batch: None)
    if state is not None:
        trainer.add_event_handler("STARTED", lambda: logger.load_state_dict(state))
    logger.attach(trainer)
    trainer.add_event_handler(
        "EPOCH_COMPLETED", lambda: evaluator.run(trainer.state.epoch) if trainer.state.epoch in validated else None
    )
    trainer.run([0], max_epochs=max(validated, default=1))
    return logger


def test_every_validation_adds_its_line(evaluator, tmp_path):
    path = tmp_path / "eval" / "validation.jsonl"
    with torch.no_grad():
        evaluator.network.bias.fill_(1)
    evaluator.add_event_handler("STARTED", lambda: evaluator.network.bias.data.add_(1))
    logger = train(evaluator, path, validated=(1, 2, 4))
    lines = read_validation_log(path)
    assert [line["epoch"] for line in lines] == [1, 2, 4]
    assert lines[-1]["score"] == pytest.approx(evaluator.state.metrics["score"])
    assert len({line["score"] for line in lines}) == 3
    assert all(line["peak_memory_bytes"] > 1e6 for line in lines)
    assert [json.loads(line) for line in path.read_text().splitlines()] == lines == logger.lines


def test_the_time_of_a_step_is_known_after_the_first(evaluator, tmp_path):
    logger = ValidationLogger(evaluator, tmp_path / "validation.jsonl")
    trainer = Engine(lambda engine, batch: None)
    logger.attach(trainer)
    trainer.add_event_handler("STARTED", lambda: evaluator.run(0))
    trainer.add_event_handler("EPOCH_COMPLETED", lambda: evaluator.run(trainer.state.epoch))
    trainer.run([0, 0], max_epochs=2)
    before, first, last = (line["seconds_per_step"] for line in read_validation_log(logger.path))
    assert before is None and first > 0
    assert last == median(logger.step_timer.seconds) and len(logger.step_timer.seconds) == 4


def test_the_peak_memory_is_that_of_the_run_alone(evaluator, tmp_path, monkeypatch):
    """A child process inherits the peak of its parent in ru_maxrss."""
    inherited = 10**9  # KiB
    monkeypatch.setattr(resource, "getrusage", lambda who: SimpleNamespace(ru_maxrss=inherited))
    (line,) = train(evaluator, tmp_path / "validation.jsonl", validated=(1,)).lines
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    assert 0.5 * pages * resource.getpagesize() < line["peak_memory_bytes"] < inherited * 1024


@pytest.mark.parametrize("content", ['{"epoch": 1, "score": 9}\n', "no json\n", None])
def test_a_resumed_run_has_its_own_lines_for_any_content_of_the_file(content, evaluator, tmp_path):
    path = tmp_path / "validation.jsonl"
    first = train(evaluator, path, validated=(1, 2, 3))
    path.unlink()
    if content is not None:
        path.write_text(content)
    train(evaluator, path, validated=(3,), state=first.state_dict())
    lines = read_validation_log(path)
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert lines[:2] == first.lines[:2]


@pytest.mark.parametrize("validated", [(2,), ()])
def test_a_run_from_scratch_drops_the_lines_of_an_earlier_one(validated, evaluator, tmp_path):
    path = tmp_path / "validation.jsonl"
    path.write_text('{"epoch": 1, "score": 0.99}\n')
    train(evaluator, path, validated)
    assert [line["epoch"] for line in read_validation_log(path)] == list(validated)


def test_the_unfinished_file_of_a_killed_run_is_removed(evaluator, tmp_path):
    killed, other = (unfinished_path(tmp_path / name).name for name in ("validation.jsonl", "other.jsonl"))
    others = [other, ".hidden-validation.jsonl", "x.jsonl"]
    for name in [killed, *others]:
        (tmp_path / name).write_text("{")
    train(evaluator, tmp_path / "validation.jsonl", validated=(1,))
    assert {path.name for path in tmp_path.iterdir()} == {"validation.jsonl", *others}


def test_a_missing_file_is_an_empty_log(tmp_path):
    assert read_validation_log(tmp_path / "none.jsonl") == []


@pytest.mark.parametrize(
    "content",
    [
        '{"epoch": 1',
        "[]",
        '{"score": 1}',
        '{"epoch": null}',
        "\xff",
        '{"epoch": Infinity}',
        '{"epoch": true}',
        "[" * 999,
    ],
)
def test_a_damaged_line_is_named(content, tmp_path):
    path = tmp_path / "validation.jsonl"
    path.write_text(f'{{"epoch": 1}}\n{content}\n', encoding="latin-1")
    with pytest.raises(ValueError, match=r"line 2 of .*validation\.jsonl"):
        read_validation_log(path)
