"""Draw a picture of a report, with its Table 3 and the first row of its examples: report_picture.py REPORT PICTURE."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

__all__ = ["draw"]

STYLE = """<style>
main > section:not(#table3, #examples), #examples .strip ~ * { display: none }
main { padding-bottom: 0 }
</style></head>"""
WIDTH, HEIGHT = 1020, 4000  # in pixels; the height is cut to what is drawn
MARGIN = 16


def draw(report: Path, picture: Path) -> None:
    """Draw a report in headless Chromium.

    Raises:
        subprocess.CalledProcessError: when Chromium fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        page, screenshot = Path(folder) / "report.html", Path(folder) / "report.png"
        page.write_text(report.read_text(encoding="utf-8").replace("</head>", STYLE), encoding="utf-8")
        options = [f"--window-size={WIDTH},{HEIGHT}", f"--user-data-dir={folder}/profile", "--hide-scrollbars"]
        command = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", *options]
        subprocess.run([*command, f"--screenshot={screenshot}", page.as_uri()], check=True, capture_output=True)
        pixels = np.asarray(Image.open(screenshot).convert("RGB"))
        drawn = np.flatnonzero((pixels != pixels[-1]).any(axis=(1, 2)))
        Image.fromarray(pixels[: drawn[-1] + MARGIN]).quantize().save(picture, optimize=True)


if __name__ == "__main__":
    draw(Path(sys.argv[1]), Path(sys.argv[2]))
