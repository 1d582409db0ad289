"""Time limits of runs."""

from __future__ import annotations

import pytest

from monai_tunevlseg.search.limits import HangDetector, Limits


class Clock:
    time = 0.0

    def __call__(self):
        return self.time


@pytest.mark.parametrize("limits", [{"timeout": 0}, {"timeout": -1}, {"silence": 0}, {"silence": float("nan")}])
def test_limits_of_0_and_below_are_refused(limits):
    with pytest.raises(ValueError, match=f"trial_{next(iter(limits))} is {next(iter(limits.values()))}"):
        Limits(**limits)


def test_a_new_line_restarts_the_silence_but_not_the_timeout(tmp_path):
    clock, log = Clock(), tmp_path / "log.txt"
    hang_detector = HangDetector(Limits(timeout=25, silence=10), [log, tmp_path / "eval" / "validation.jsonl"], clock)
    for clock.time in (9.0, 18.0, 24.9):
        with log.open("a") as file:
            file.write("a line\n")
        assert hang_detector.problem() is None
    clock.time = 25.1
    assert "25 seconds of trial_timeout" in hang_detector.problem()


def test_a_run_without_a_line_exceeds_the_silence(tmp_path):
    clock = Clock()
    hang_detector = HangDetector(Limits(silence=10), [tmp_path / "log.txt"], clock)
    clock.time = 10.0
    assert hang_detector.problem() is None
    clock.time = 10.1
    assert "10 seconds of trial_silence" in hang_detector.problem()


def test_a_run_without_limits_is_never_stopped(tmp_path):
    clock = Clock()
    hang_detector = HangDetector(Limits(None, None), [tmp_path / "log.txt"], clock)
    clock.time = 1e9
    assert hang_detector.problem() is None
