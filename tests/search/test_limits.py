"""When a run counts as hanging."""

from __future__ import annotations

import pytest

from monai_tunevlseg.search.limits import HangDetector, Limits


class Clock:
    time = 0.0

    def __call__(self):
        return self.time


@pytest.mark.parametrize("limits", [{"timeout": 0}, {"timeout": -1}, {"silence": 0}, {"silence": float("nan")}])
def test_limits_that_end_every_run_are_refused(limits):
    with pytest.raises(ValueError, match=f"trial_{next(iter(limits))} is {next(iter(limits.values()))}"):
        Limits(**limits)


def test_silence_begins_anew_with_every_line_and_the_timeout_does_not(tmp_path):
    clock, log = Clock(), tmp_path / "log.txt"
    hang_detector = HangDetector(Limits(timeout=25, silence=10), [log, tmp_path / "eval" / "validation.jsonl"], clock)
    for clock.time in (9.0, 18.0, 24.9):
        with log.open("a") as file:
            file.write("a line\n")
        assert hang_detector.problem() is None
    clock.time = 25.1
    assert "25 seconds of trial_timeout" in hang_detector.problem()


def test_without_a_line_the_silence_ends_it(tmp_path):
    clock = Clock()
    hang_detector = HangDetector(Limits(silence=10), [tmp_path / "log.txt"], clock)
    clock.time = 10.0
    assert hang_detector.problem() is None
    clock.time = 10.1
    assert "10 seconds of trial_silence" in hang_detector.problem()


def test_without_limits_nothing_ends_it(tmp_path):
    clock = Clock()
    hang_detector = HangDetector(Limits(None, None), [tmp_path / "log.txt"], clock)
    clock.time = 1e9
    assert hang_detector.problem() is None
