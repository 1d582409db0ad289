"""The pictures of docs/app.md, in headless Chromium.

They are drawn anew by ``make pictures``, in MONAI Label's environment:
    tunevlseg demo --dataset endoscopy
    export TUNEVLSEG_RUN=demo_output/endoscopy_clipseg_vpt TUNEVLSEG_ARTIFACTS=docs/assets
    pytest tests/app/test_app_screenshot.py
Without a run, the tests have the initial weights.
"""

from __future__ import annotations

import importlib.util
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

pytest.importorskip("httpx2", reason="the extra [app] is not installed")
pytest.importorskip("uvicorn", reason="the extra [app] is not installed")

from monai_tunevlseg.app.annotate_routes import AnnotateRoutes
from monai_tunevlseg.app.drafts import DraftFolder
from monai_tunevlseg.app.label_process import LabelProcess

ROOT = Path(__file__).resolve().parents[2]
RUN = os.environ.get("TUNEVLSEG_RUN")
COLORS = 256

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_demo_dataset("endoscopy", tmp_path_factory.mktemp("data"), num_images=10) / "images"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    sources = Sources(configs_dir=ROOT / "configs")
    folder = tmp_path_factory.mktemp("bundle")
    return share_bundle("endoscopy/clipseg_vpt", folder, None if RUN is None else Path(RUN), sources)


@pytest.fixture
def save(tmp_path):
    """Save a screenshot in TUNEVLSEG_ARTIFACTS if set."""
    artifacts = Path(os.environ.get("TUNEVLSEG_ARTIFACTS", tmp_path))
    artifacts.mkdir(parents=True, exist_ok=True)

    def save_picture(screenshot, name):
        picture = Image.open(io.BytesIO(screenshot)).convert("RGB")
        picture.quantize(COLORS, Image.Quantize.MAXCOVERAGE).save(artifacts / name, optimize=True)
        assert (artifacts / name).stat().st_size < 300_000  # bytes, in the documentation

    return save_picture


def test_the_page_shows_both_versions(bundle, images, save, tmp_path):
    url = start_app(bundle, images=images)
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
    save(after, "app.png")
    assert green(after) > green(before) + 0.005


@pytest.mark.skipif(importlib.util.find_spec("monailabel") is None, reason="monailabel is not installed")
def test_the_page_shows_the_mask_to_edit(bundle, images, save, tmp_path):
    process = LabelProcess([bundle], images, tmp_path / "server")
    url = start_app(bundle, images=images, annotate=AnnotateRoutes(process, DraftFolder(tmp_path / "drafts")))
    try:
        with browser(tmp_path / "profile") as page:
            page.open(f"{url}#annotate")
            page.wait("document.body.dataset.connected")
            page.run("""{
                const images = document.getElementById('images');
                images.selectedIndex = 0;
                images.dispatchEvent(new Event('change', {bubbles: true}));
            }""")
            page.wait("document.getElementById('image-name').textContent == 'endoscopy_0000'")
            page.wait("document.getElementById('annotate-message').textContent == ''")
            before = page.picture()
            page.run("document.getElementById('by-text').click()")
            page.wait("document.getElementById('annotate-message').textContent.includes('presence')")
            after = page.picture()
    finally:
        process.stop()
    save(after, "annotate.png")
    assert green(after) > green(before) + 0.005


def green(screenshot: bytes) -> float:
    """Return the share of pixels in the color of the first text: pictures of the bowel have none."""
    red, green, blue = np.moveaxis(np.asarray(Image.open(io.BytesIO(screenshot)).convert("RGB")).astype(int), -1, 0)
    return float(((green > red + 20) & (green > blue + 20)).mean())
