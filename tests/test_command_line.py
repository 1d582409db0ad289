"""The command line around what the package does."""

from __future__ import annotations

import shutil
from pathlib import Path

from typer.testing import CliRunner

from monai_tunevlseg.__main__ import app

ROOT = Path(__file__).resolve().parents[1]


def test_bundles_are_checked_and_written(tmp_path):
    bundles = tmp_path / "bundles"
    options = ["--configs-dir", str(ROOT / "configs"), "--bundles-dir", str(bundles)]
    written = CliRunner().invoke(app, ["bundles", "write", *options])
    assert written.exit_code == 0 and "clipseg_vpt/configs/train.yaml" in written.output.replace("\n", "")
    assert CliRunner().invoke(app, ["bundles", "check", *options]).exit_code == 0
    (bundles / "clipseg_vpt" / "configs" / "train.yaml").write_text("epochs: 1\n")
    stale = CliRunner().invoke(app, ["bundles", "check", *options])
    assert stale.exit_code == 1 and "train.yaml" in stale.output


def test_committed_bundles_are_current(tmp_path):
    copied = tmp_path / "bundles"
    shutil.copytree(ROOT / "bundles", copied, ignore=shutil.ignore_patterns("models", "eval", "output"))
    options = ["--configs-dir", str(ROOT / "configs"), "--bundles-dir", str(copied)]
    assert CliRunner().invoke(app, ["bundles", "check", *options]).exit_code == 0
