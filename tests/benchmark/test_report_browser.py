"""The report in a real browser; skipped without Debian's chromium, which ``.ci/run`` installs."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_tunevlseg.benchmark import write_report

CHROMIUM = shutil.which("chromium")
WIDTH, HEIGHT = 1360, 4200


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_the_page_opens_without_console_messages(study, tmp_path):
    """The screenshot is saved in TUNEVLSEG_ARTIFACTS if set."""
    write_report(study, tmp_path / "report")
    artifacts = Path(os.environ.get("TUNEVLSEG_ARTIFACTS", tmp_path))
    artifacts.mkdir(parents=True, exist_ok=True)
    picture = artifacts / "report.png"
    picture.unlink(missing_ok=True)
    log = browse(tmp_path / "report" / "report.html", picture, tmp_path)
    assert "CONSOLE" not in log, log
    pixels = np.asarray(Image.open(picture).convert("L"))
    assert pixels.shape == (HEIGHT, WIDTH)
    bands = np.array_split(pixels, 6)
    assert all(band.std() > 5 for band in bands)  # no part of the page is blank


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_console_messages_are_detected(tmp_path):
    (tmp_path / "broken.html").write_text("<!DOCTYPE html><script>undefinedFunction()</script>")
    assert "CONSOLE" in browse(tmp_path / "broken.html", tmp_path / "broken.png", tmp_path)


def browse(page: Path, picture: Path, folder: Path) -> str:
    """Take a screenshot of a page, and return the browser's log with the messages of the console."""
    command = [
        str(CHROMIUM),
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--enable-logging=stderr",
        f"--user-data-dir={folder / 'profile'}",
        f"--window-size={WIDTH},{HEIGHT}",
        f"--screenshot={picture}",
        page.as_uri(),
    ]
    run = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)
    return run.stderr
