"""Bundle runs in child processes: every value arrives unchanged, failures have a reason, and no process remains."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import fire
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from monai_tunevlseg.bundle_processes import ChildProcess, bundle_command, failure_reason

TEXTS = ["polyp", "['$print(1)']", "{'_target_': 'os.system'}", "'$print(1)'", "grade #2", "--config_file=evil.yaml"]
TEXTS += ["-", "--", "1", "1.50", "True", "(1, 2)", 'it\'s "it"', "a\nb", "\\", "äöü 😀", ""]


def arriving(**values: Any) -> dict[str, Any]:
    """Return the options that MONAI's command receives."""
    command = bundle_command([Path("train.yaml")], values)
    return fire.Fire(lambda **options: options, command=command[4:], serialize=lambda _: "")


@given(st.text())
@example("")
def test_texts_stay_texts(text):
    assert arriving(neutral_text=text, epochs=1) == {"config_file": ["train.yaml"], "neutral_text": text, "epochs": 1}


@pytest.mark.parametrize("value", [*TEXTS, *map(Path, TEXTS[:-1])], ids=repr)
def test_texts_that_look_like_other_values_stay_texts(value):
    assert arriving(neutral_text=value)["neutral_text"] == str(value)


@pytest.mark.parametrize("value", [1, -1, 0.5, 1e-5, True, ["a", "1"], [0.5, 1], {"polyp": 1}, -0.25], ids=repr)
def test_other_values_keep_their_types(value):
    assert arriving(value=value)["value"] == value


def test_none_is_null():
    assert arriving(method=None)["method"] == "null"


@pytest.mark.parametrize("value", ["polyp", "null", "bundles/clipseg_vpt", "/data/a b", Path("configs/train.yaml")])
def test_plain_texts_need_no_quotes(value):
    assert bundle_command([], {"value": value})[-1] == str(value)


def wait_until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def run(code, log):
    return ChildProcess([sys.executable, "-S", "-c", code], log).process.wait(60)


CHAINED = """
try:
    raise ValueError("the mask 3.png is gray")
except ValueError as error:
    raise RuntimeError("Failed to evaluate the config") from error
"""


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (CHAINED, "exit status 1: ValueError: the mask 3.png is gray"),
        ("raise SystemExit('no such file')", "exit status 1: no such file"),
        ("import sys; sys.exit(7)", "exit status 7: no output"),
        ("import os; os.kill(os.getpid(), 9)", "killed by SIGKILL (out of memory?)"),
        ("import os; os.abort()", "killed by SIGABRT"),
    ],
)
def test_the_reason_of_a_failure_is_the_first_error(code, reason, tmp_path):
    log = tmp_path / "trial" / "log.txt"
    assert failure_reason(run(code, log), log) == reason


def test_stop_kills_descendants_that_ignore_sigterm(tmp_path, monkeypatch):
    monkeypatch.setattr("monai_tunevlseg.bundle_processes.GRACE", 0.3)
    code = """if True:
        import os, signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        grandchild = os.fork()
        if grandchild:
            print(grandchild, flush=True)
        time.sleep(60)
    """
    log = tmp_path / "log.txt"
    child = ChildProcess([sys.executable, "-S", "-c", code], log)
    grandchild = int(wait_until(lambda: log.read_text().strip()))
    child.stop()
    assert child.process.returncode == -signal.SIGKILL

    def is_gone():
        try:
            return os.waitpid(grandchild, os.WNOHANG)[0] == grandchild
        except ChildProcessError:  # not a child of this process
            try:
                os.kill(grandchild, 0)
            except ProcessLookupError:
                return True
            with open(f"/proc/{grandchild}/stat") as stat:  # noqa: PTH123
                return stat.read().rpartition(")")[2].split()[0] == "Z"

    wait_until(is_gone, seconds=10)


def test_a_child_runs_no_fork_handlers(tmp_path):
    """Those of gRPC abort at random in a child whose file descriptors are closed."""
    code = f"""if True:
        import os, pathlib
        from monai_tunevlseg.bundle_processes import ChildProcess
        os.register_at_fork(after_in_child=os.abort)
        child = ChildProcess(["sh", "-c", "exit 7"], pathlib.Path({str(tmp_path / "log.txt")!r}))
        print(child.process.wait(60))
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert said.stdout == "7\n"
