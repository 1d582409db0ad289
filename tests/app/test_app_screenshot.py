"""The picture of docs/app.md, in headless Chromium.

It is drawn anew by the following commands; without a run, the test has the initial weights:
    tunevlseg demo --dataset endoscopy
    export TUNEVLSEG_RUN=demo_output/endoscopy_clipseg_vpt TUNEVLSEG_ARTIFACTS=docs/assets
    pytest tests/app/test_app_screenshot.py
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from app_server import start_app
from browser import CHROMIUM, browser
from PIL import Image
from shared_bundles import share_bundle

from monai_tunevlseg.data.demo_datasets import write_demo_dataset
from monai_tunevlseg.sharing import Sources

pytest.importorskip("uvicorn", reason="the extra [app] is not installed")

ROOT = Path(__file__).resolve().parents[2]
RUN = os.environ.get("TUNEVLSEG_RUN")


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_the_page_shows_both_versions(tmp_path):
    """The screenshot is saved in TUNEVLSEG_ARTIFACTS if set."""
    data = write_demo_dataset("endoscopy", tmp_path / "data", num_images=10)
    sources = Sources(configs_dir=ROOT / "configs")
    bundle = share_bundle("endoscopy/clipseg_vpt", tmp_path, None if RUN is None else Path(RUN), sources)
    url = start_app(bundle, images=data / "images")
    with browser(tmp_path / "profile") as page:
        page.open(url)
        page.wait("document.body.dataset.ready")
        page.run("""{
            const pictures = document.getElementById('pictures');
            pictures.selectedIndex = 0;
            pictures.dispatchEvent(new Event('change'));
        }""")
        page.wait("document.querySelectorAll('#views .view').length == 1")
        before = page.picture()
        page.run("document.querySelector('input[value=both]').click(); document.getElementById('segment').click()")
        page.wait("document.querySelectorAll('tbody tr').length == 2")
        after = page.picture()
    artifacts = Path(os.environ.get("TUNEVLSEG_ARTIFACTS", tmp_path))
    artifacts.mkdir(parents=True, exist_ok=True)
    Image.open(io.BytesIO(after)).convert("RGB").quantize(256).save(artifacts / "app.png", optimize=True)
    assert green(after) > green(before) + 0.005


def green(screenshot: bytes) -> float:
    """Return the share of pixels in the color of the first text: pictures of the bowel have none."""
    red, green, blue = np.moveaxis(np.asarray(Image.open(io.BytesIO(screenshot)).convert("RGB")).astype(int), -1, 0)
    return float(((green > red + 20) & (green > blue + 20)).mean())
