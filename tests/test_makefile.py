"""The Makefile creates environments from ``python3``, and names an unsupported version."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def make(tmp_path, version, target):
    """Run make with a fake ``python3`` that reports this version and creates nothing."""
    fake = tmp_path / "bin" / "python3"
    fake.parent.mkdir()
    pretended = f"import sys; sys.version_info = {version}; exec(sys.argv[2] if sys.argv[1] == '-c' else 'sys.exit(9)')"
    fake.write_text(f"#!{sys.executable}\n{pretended}\n", encoding="utf-8")
    fake.chmod(0o755)
    outer_make = {"PYTHON", "MAKEFLAGS", "MFLAGS", "MAKELEVEL"}
    environment = {name: value for name, value in os.environ.items() if name not in outer_make}
    environment["PATH"] = f"{fake.parent}{os.pathsep}{environment['PATH']}"
    places = [f"VENV={tmp_path / 'venv'}", f"LABEL_VENV={tmp_path / 'label'}"]
    command = ["make", "--no-print-directory", *places, target]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


OLD = [(target, version) for target in ("demo", "test", "test-label") for version in ((2, 7, 18), (3, 10, 13))]


@pytest.mark.parametrize(("target", "version"), [*OLD, ("test-label", (3, 13, 0))])
def test_an_unsupported_python_is_named_in_one_line(tmp_path, target, version):
    finished = make(tmp_path, version, target)
    assert finished.returncode != 0
    message, _ = finished.stderr.splitlines()  # the second line is make's own
    assert f"python3 is Python {version[0]}.{version[1]}," in message and "3.11" in message
    assert finished.stdout == ""


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 12, 1), (3, 14, 0)])
def test_a_newer_python_is_accepted(tmp_path, version):
    finished = make(tmp_path, version, "demo")
    assert finished.stdout == f"python3 -m venv {tmp_path / 'venv'}\n"
    assert "Error 9" in finished.stderr
