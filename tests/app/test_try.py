"""The tab Try in headless Chromium: the shown and the downloaded pixels are those of `Segmenter`."""

from __future__ import annotations

import base64
import io
import json
import shutil
import socket
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from app_server import start_app
from browser import CHROMIUM, browser
from PIL import Image, ImageDraw
from shared_bundles import share_bundle

from monai_tunevlseg import Segmenter
from monai_tunevlseg.data.label_overlay import class_color
from monai_tunevlseg.hyperparameters import ZERO_SHOT
from monai_tunevlseg.sharing import Sources

pytest.importorskip("httpx2", reason="the extra [app] is not installed")
pytest.importorskip("uvicorn", reason="the extra [app] is not installed")

import httpx2

call = partial(httpx2.request, timeout=120)  # on a busy machine
ROOT = Path(__file__).resolve().parents[2]
TEXTS = ["red circle", "blue square"]
NAME = "one/drawing.png"


def drawing() -> Image.Image:
    picture = Image.new("RGB", (150, 120), (120, 118, 115))
    ImageDraw.Draw(picture).ellipse((18, 23, 52, 57), fill=(215, 30, 35))
    ImageDraw.Draw(picture).rectangle((100, 70, 125, 95), fill=(35, 45, 215))
    return picture


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with a bundle, with pictures, and with a picture outside of theirs."""
    folder = tmp_path_factory.mktemp("try")
    share_bundle("ultrasound/clipseg_vpt", folder, sources=Sources(configs_dir=ROOT / "configs"))
    for place in ("images/one", "images/labels/final", "images/.hidden", "outside"):
        (folder / place).mkdir(parents=True)
    drawing().save(folder / "images" / NAME)
    for other in ("images/labels/final/drawing.png", "images/.hidden/drawing.png", "outside/secret.png"):
        drawing().save(folder / other)
    (folder / "images" / "linked.png").symlink_to(folder / "outside" / "secret.png")
    (folder / "images" / "linked").symlink_to(folder / "outside")
    (folder / "images" / "notes.txt").write_text("not a picture")
    (folder / "images" / "broken.png").write_bytes(b"not a picture")
    return folder


@pytest.fixture(scope="module")
def bundle(folder) -> Path:
    (configs,) = folder.glob("*/configs")
    return configs.parent


@pytest.fixture(scope="module")
def url(folder, bundle):
    untrained = folder / "untrained"
    shutil.copytree(bundle, untrained, ignore=shutil.ignore_patterns("models"))
    return start_app(bundle, untrained, images=folder / "images")


@pytest.fixture(scope="module")
def page(url, folder):
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    with browser(folder / "profile") as page:
        page.open(url)
        page.wait("document.body.dataset.ready")
        yield page


@pytest.fixture(scope="module")
def segmenters(bundle) -> dict[str, Segmenter]:
    """Those of the versions."""
    return {
        "tuned": Segmenter.from_bundle(bundle, device="cpu"),
        "zero-shot": Segmenter.from_bundle(bundle, device="cpu", **ZERO_SHOT),
    }


def segment(page, texts=TEXTS, version="tuned", picture=NAME):
    """Choose, type and press the button."""
    page.run(f"""{{
        const at = (id) => document.getElementById(id);
        if (at('pictures').value !== {json.dumps(picture)}) {{
            at('pictures').value = {json.dumps(picture)};
            at('pictures').dispatchEvent(new Event('change'));
        }}
    }}""")
    page.wait(f"document.getElementById('picture-name').textContent == {json.dumps(picture)}")
    page.run(f"""{{
        document.querySelector('input[value="{version}"]').click();
        document.getElementById('own-threshold').checked || document.getElementById('own-threshold').click();
        document.getElementById('texts').value = {json.dumps(chr(10).join(texts))};
        document.getElementById('segment').click();
    }}""")
    page.wait("document.querySelector('tbody tr') && document.getElementById('message').textContent == ''")


def canvas(page, kind, version="tuned"):
    """Return the pixels of a canvas: (H, W, 4) uint8."""
    url = page.run(f"document.querySelector('[data-version=\"{version}\"] .{kind}').toDataURL('image/png')")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))))


def colored(pixels, color):
    return (pixels == [*color, 255]).all(axis=-1)


def cell(page, kind, row=0, version="tuned"):
    return page.run(f"document.querySelectorAll('[data-version=\"{version}\"] .{kind}')[{row}].textContent")


def colors(page):
    rows = page.run("[...document.querySelectorAll('.swatch')].map((s) => getComputedStyle(s).backgroundColor)")
    return [tuple(map(int, row[4:-1].split(","))) for row in rows]


@pytest.mark.parametrize("version", ["tuned", "zero-shot"])
def test_the_shown_mask_is_that_of_the_segmenter(page, folder, segmenters, version):
    segment(page, TEXTS[:1], version)
    (mask,) = segmenters[version].segment(folder / "images" / NAME, TEXTS[:1])
    assert mask.any() and not mask.all()
    overlay = canvas(page, "overlay", version)
    np.testing.assert_array_equal(overlay[..., 3] == 255, mask)
    np.testing.assert_array_equal(colored(overlay, colors(page)[0]), mask)
    np.testing.assert_array_equal(canvas(page, "picture", version)[..., :3], np.asarray(drawing()))


def test_texts_have_presence_confidence_and_area(page, folder, segmenters):
    segment(page)
    path = folder / "images" / NAME
    probabilities, presence = (
        getattr(segmenters["tuned"], name)(path, TEXTS) for name in ("probabilities", "presence")
    )
    for row, (probability, chance) in enumerate(zip(probabilities, presence, strict=True)):
        mask = probability > 0.5
        assert cell(page, "text", row) == TEXTS[row]
        assert cell(page, "presence", row) == f"{chance:.1%}".replace("%", " %")
        assert cell(page, "confidence", row) == f"{probability[mask].mean(dtype=float):.1%}".replace("%", " %")
        assert cell(page, "area", row) == f"{mask.mean():.1%}".replace("%", " %")


def test_colors_are_those_of_the_overlays_of_runs(page):
    segment(page)
    assert colors(page) == [tuple(np.rint(255 * class_color(index))) for index in range(2)]


def test_later_texts_cover_earlier_ones_and_can_be_hidden(page, folder, segmenters):
    segment(page)
    first, second = segmenters["tuned"].segment(folder / "images" / NAME, TEXTS)
    of_first, of_second = colors(page)
    overlay = canvas(page, "overlay")
    np.testing.assert_array_equal(colored(overlay, of_second), second)
    np.testing.assert_array_equal(colored(overlay, of_first), first & ~second)
    page.run("document.querySelectorAll('tbody input')[1].click()")
    np.testing.assert_array_equal(canvas(page, "overlay")[..., 3] == 255, first)


@pytest.mark.parametrize("threshold", [0.01, 0.3, 0.57, 0.99])
def test_the_slider_cuts_the_probabilities(page, folder, segmenters, threshold):
    segment(page, TEXTS[:1])
    page.run(f"""{{
        const slider = document.getElementById('threshold');
        slider.value = {threshold};
        slider.dispatchEvent(new Event('input'));
    }}""")
    assert page.run("document.getElementById('own-threshold').checked") is False
    (probability,) = segmenters["tuned"].probabilities(folder / "images" / NAME, TEXTS[:1])
    mask = probability > np.float32(threshold)
    np.testing.assert_array_equal(canvas(page, "overlay")[..., 3] == 255, mask)
    confidence = f"{probability[mask].mean(dtype=float):.1%}".replace("%", " %") if mask.any() else "–"
    assert cell(page, "confidence") == confidence


def test_opacity_is_that_of_the_overlay(page):
    segment(page, TEXTS[:1])
    page.run("""{
        const slider = document.getElementById('opacity');
        slider.value = 0.2;
        slider.dispatchEvent(new Event('input'));
    }""")
    assert page.run("getComputedStyle(document.querySelector('.overlay')).opacity") == "0.2"


def test_versions_stand_side_by_side(page, folder, segmenters):
    segment(page, TEXTS[:1], "both")
    path, masks = folder / "images" / NAME, {}
    for version, segmenter in segmenters.items():
        (masks[version],) = segmenter.segment(path, TEXTS[:1])
        np.testing.assert_array_equal(canvas(page, "overlay", version)[..., 3] == 255, masks[version])
    assert (masks["tuned"] != masks["zero-shot"]).any()
    views = "[...document.querySelectorAll('#views .view')]"
    left, right = page.run(f"{views}.map((view) => view.getBoundingClientRect().x)")
    assert left < right


def test_a_mask_is_downloaded(page, folder, segmenters, tmp_path):
    segment(page)
    page.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    page.run("document.querySelectorAll('tbody button')[1].click()")
    file = tmp_path / "drawing_blue_square_tuned.png"
    wait_for_file(page, file)
    saved = Image.open(file)
    assert saved.mode == "L"
    np.testing.assert_array_equal(
        np.asarray(saved), 255 * segmenters["tuned"].segment(folder / "images" / NAME, TEXTS)[1]
    )


def wait_for_file(page, file):
    until = time.monotonic() + 60
    while not file.is_file() and time.monotonic() < until:
        page.run("1")
    assert file.is_file(), list(file.parent.iterdir())


def test_a_dropped_picture_is_segmented_upright(page, segmenters, tmp_path):
    """A JPEG that its EXIF turns, dropped as a visitor does."""
    exif = Image.Exif()
    exif[0x0112] = 6
    drawing().transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    content = base64.b64encode((tmp_path / "turned.jpg").read_bytes()).decode()
    page.run(f"""{{
        const bytes = Uint8Array.from(atob('{content}'), (letter) => letter.charCodeAt(0));
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File([bytes], 'turned.jpg'));
        document.getElementById('drop').dispatchEvent(new DragEvent('drop', {{dataTransfer, bubbles: true}}));
    }}""")
    page.wait("document.getElementById('picture-name').textContent == 'turned.jpg'")
    page.run(f"""{{
        document.querySelector('input[value=tuned]').click();
        document.getElementById('texts').value = '{TEXTS[0]}';
        document.getElementById('segment').click();
    }}""")
    page.wait("document.querySelector('tbody tr') && document.getElementById('message').textContent == ''")
    (mask,) = segmenters["tuned"].segment(tmp_path / "turned.jpg", TEXTS[:1])
    assert mask.shape == (120, 150)
    np.testing.assert_array_equal(canvas(page, "overlay")[..., 3] == 255, mask)


def test_errors_are_shown(page):
    page.run("""{
        document.getElementById('pictures').value = 'broken.png';
        document.getElementById('pictures').dispatchEvent(new Event('change'));
    }""")
    page.wait("document.querySelector('.message.bad')?.textContent.startsWith('broken.png ')")


def test_an_untrained_bundle_is_zero_shot_only(page):
    page.run("""{
        const select = document.getElementById('bundle');
        select.value = 'untrained';
        select.dispatchEvent(new Event('change'));
    }""")
    states = page.run(
        "[...document.querySelectorAll('[name=version]')].map((input) => [input.disabled, input.checked])"
    )
    assert states == [[True, False], [False, True], [True, False]]
    page.run("""{
        const select = document.getElementById('bundle');
        select.selectedIndex = 0;
        select.dispatchEvent(new Event('change'));
    }""")


def test_nothing_comes_from_another_host(page, url):
    names = page.run("performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert len(names) > 3 and [name for name in names if not name.startswith((f"{url}/", "blob:", "data:"))] == []


def test_the_page_cannot_reach_another_host(page):
    """A server that would answer sees no request."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(1)
        address = f"http://127.0.0.1:{other.getsockname()[1]}/x"
        page.run(f"fetch('{address}', {{mode: 'no-cors'}}).catch(() => {{ document.body.dataset.blocked = 'true'; }})")
        page.run(f"new Image().src = '{address}'")
        page.wait("document.body.dataset.blocked")
        with pytest.raises(TimeoutError):
            other.accept()


def test_the_pictures_of_the_folder_are_listed(url):
    assert call("GET", f"{url}/try/pictures").json() == {"pictures": ["broken.png", NAME]}


@pytest.mark.parametrize(
    ("picture", "status"),
    [
        ("../outside/secret.png", 400),
        ("one/../../outside/secret.png", 400),
        ("/etc/hostname", 400),
        ("linked.png", 400),
        ("linked/secret.png", 400),
        ("", 400),
        ("one\\..\\drawing.png", 400),
        ("notes.txt", 404),
        ("gone.png", 404),
        ("one", 404),
    ],
)
@pytest.mark.parametrize("path", ["picture", "masks"])
def test_paths_outside_of_the_folder_are_refused(url, bundle, path, picture, status):
    query = {"picture": picture, "bundle": bundle.name, "version": "tuned", "texts": '["polyp"]'}
    response = call("POST", f"{url}/try/{path}", params=query)
    assert (response.status_code, repr(picture) in response.json()["error"]) == (status, True)


def test_files_beside_the_page_are_not_served(url):
    for path in ("../web_app.py", "%2e%2e/web_app.py", "..%2fweb_app.py", "/etc/hostname", "try.py"):
        assert call("GET", f"{url}/{path}").status_code == 404


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"bundle": "liver"}, "'liver'"),
        ({"version": "best"}, "'best'"),
        ({"bundle": "untrained"}, "'tuned'"),
        ({"texts": "polyp"}, "texts"),
        ({"texts": "[]"}, "[]"),
        ({"texts": '"polyp"'}, "'polyp'"),
        ({"texts": '[" "]'}, "' '"),
        ({"texts": "[7]"}, "7"),
        ({"texts": json.dumps(["x" * 600])}, "xxx"),
        ({"texts": json.dumps(["polyp"] * 17)}, "16"),
    ],
)
def test_wrong_requests_are_refused(url, bundle, changes, named):
    query = {"picture": NAME, "bundle": bundle.name, "version": "tuned", "texts": '["polyp"]'} | changes
    response = call("POST", f"{url}/try/masks", params=query)
    assert (response.status_code, named in response.json()["error"]) == (400, True)


def test_large_and_unknown_files_are_refused(url):
    response = call("POST", f"{url}/try/picture", params={"name": "x.png"}, content=bytes(20_000_001))
    assert (response.status_code, "20 MB" in response.json()["error"]) == (413, True)
    assert call("POST", f"{url}/try/picture", params={"name": "x.png"}, content=bytes(20_000_000)).status_code == 400
    response = call("POST", f"{url}/try/picture", params={"name": "x.html"}, content=b"<script>")
    assert (response.status_code, "'x.html'" in response.json()["error"]) == (400, True)


def test_a_picture_of_too_many_pixels_is_refused(url):
    """A gray PNG of a few kilobytes that would need gigabytes."""
    buffer = io.BytesIO()
    Image.new("1", (10_000, 6_500)).save(buffer, "PNG")
    response = call("POST", f"{url}/try/picture", params={"name": "x.png"}, content=buffer.getvalue())
    assert (response.status_code, "x.png has 10000 x 6500" in response.json()["error"]) == (400, True)


def test_other_pages_and_names_are_refused(url, bundle):
    query = {"picture": NAME, "bundle": bundle.name, "version": "tuned", "texts": '["polyp"]'}
    for origin, status in ((url, 200), ("http://evil.example", 403), ("null", 403), ("http://127.0.0.1:1", 403)):
        assert call("POST", f"{url}/try/masks", params=query, headers={"Origin": origin}).status_code == status
    assert call("GET", url, headers={"Host": "evil.example"}).status_code == 400


def test_only_this_machine_reaches_the_page(url):
    port = int(url.rpartition(":")[2])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            pytest.skip("this machine has no other address")
        other = probe.getsockname()[0]
    if other.startswith("127."):
        pytest.skip("this machine has no other address")
    with pytest.raises(OSError):
        socket.create_connection((other, port), timeout=2)


def test_requests_at_the_same_time_get_their_own_masks(url, bundle, folder, segmenters):
    answers: dict[str, bytes] = {}

    def ask(text):
        query = {"picture": NAME, "bundle": bundle.name, "version": "tuned", "texts": json.dumps([text])}
        answers[text] = call("POST", f"{url}/try/masks", params=query).content

    threads = [threading.Thread(target=ask, args=(text,)) for text in TEXTS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for text in TEXTS:
        (mask,) = segmenters["tuned"].segment(folder / "images" / NAME, [text])
        map_ = np.frombuffer(answers[text][-mask.size :], np.uint8).reshape(mask.shape)
        np.testing.assert_array_equal(map_ >= 128, mask)
