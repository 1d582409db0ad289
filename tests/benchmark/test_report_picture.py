"""The picture of a report in README; skipped without Debian's chromium, which ``.ci/run`` installs."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image
from report_picture import HEIGHT, WIDTH, draw

from monai_tunevlseg.benchmark import write_report


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
def test_the_picture_ends_with_the_first_row_of_examples(study, tmp_path):
    write_report(study, tmp_path / "report")
    draw(tmp_path / "report" / "report.html", tmp_path / "report.png")
    pixels = np.asarray(Image.open(tmp_path / "report.png").convert("L"))
    assert pixels.shape[1] == WIDTH and 300 < pixels.shape[0] < HEIGHT / 2
    assert all(band.std() > 5 for band in np.array_split(pixels, 4))
