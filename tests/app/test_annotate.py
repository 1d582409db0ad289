"""The tab Annotate in headless Chromium, with a real MONAI Label server."""

from __future__ import annotations

import base64
import io
import json
import time
from pathlib import Path

import numpy as np
import pytest
from app_server import start_app
from browser import CHROMIUM, browser
from label_fixtures import CIRCLES, SIZE, SQUARE, circle_mask, dice, draw_picture, write_bundle
from PIL import Image

pytest.importorskip("monailabel", reason="monailabel has an environment of its own: make test-label")
pytest.importorskip("httpx2", reason="the extra [app] is not installed")

import httpx2
from label_server import label_server

from monai_tunevlseg.app.annotate_routes import AnnotateRoutes
from monai_tunevlseg.app.drafts import DraftFolder
from monai_tunevlseg.monai_label import write_app_folder

COUNT = 6
MODEL = "circles"
NAME = "red object"
PATIENCE = 120  # seconds

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("annotate")
    (folder / "studies").mkdir()
    for number in range(COUNT):
        draw_picture(number).save(folder / "studies" / f"picture{number}.png")
    write_bundle(folder / MODEL, (NAME,))
    return folder


@pytest.fixture(scope="module")
def server(folder):
    """The address of the server."""
    with label_server(
        write_app_folder(folder / "app"), folder / "studies", ("bundles", str(folder / MODEL))
    ) as running:
        yield running.url


@pytest.fixture(scope="module")
def url(folder, server):
    annotate = AnnotateRoutes(server, DraftFolder(folder / "drafts"))
    return start_app(folder / MODEL, annotate=annotate)


@pytest.fixture(scope="module")
def page(url, folder):
    with browser(folder / "profile") as page:
        page.open(f"{url}#annotate")
        page.wait("document.body.dataset.connected")
        yield page


def open_image(page, image):
    page.run(f"""{{
        const images = document.getElementById('images');
        images.value = '{image}';
        images.dispatchEvent(new Event('change', {{bubbles: true}}));
    }}""")
    page.wait(f"document.getElementById('image-name').textContent == '{image}' && !{said()}")
    press(page, "c")


def said():
    return "document.getElementById('annotate-message').textContent"


def labels(page, number=0):
    """Return the shown label map: which pixels have the color of class `number`."""
    url = page.run("document.querySelectorAll('#editor canvas')[1].toDataURL('image/png')")
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))))
    swatches = page.run("[...document.querySelectorAll('#classes .swatch')].map((s) => s.style.backgroundColor)")
    color = [int(part) for part in swatches[number][4:-1].split(",")]
    return (pixels == [*color, 255]).all(axis=-1)


def place(page, x, y):
    """Return where a pixel of the picture is on the screen."""
    left, top, width = page.run(
        "{ const r = document.querySelector('#editor canvas').getBoundingClientRect(); [r.left, r.top, r.width] }"
    )
    scale = width / SIZE[1]
    return left + (x + 0.5) * scale, top + (y + 0.5) * scale


def mouse(page, *positions, release=True):
    """Press the mouse at the first position, drag it along the others and release it."""
    kinds = ["mousePressed", *["mouseMoved"] * (len(positions) - 1)]
    for kind, position in (*zip(kinds, positions, strict=True), *[("mouseReleased", positions[-1])] * release):
        x, y = place(page, *position)
        page.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)


def press(page, key, control=False):
    keys = {"key": key, "code": f"Key{key.upper()}", "modifiers": 2 if control else 0}
    text = {} if control else {"text": key}
    page.call("Input.dispatchKeyEvent", type="keyDown", windowsVirtualKeyCode=ord(key.upper()), **keys, **text)
    page.call("Input.dispatchKeyEvent", type="keyUp", windowsVirtualKeyCode=ord(key.upper()), **keys)


def segmented(page):
    page.wait(f"{said()}.includes('presence')")


def inferred(server, image, **params):
    """Return the label map of the server itself."""
    answer = httpx2.post(
        f"{server}/infer/{MODEL}",
        params={"image": image, "output": "image"},
        data={"params": json.dumps(params)},
        timeout=PATIENCE,
    )
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def test_the_first_image_is_that_of_active_learning(page, server):
    shown = page.run("document.getElementById('image-name').textContent")
    infos = {
        image: httpx2.get(f"{server}/datastore/image/info", params={"image": image}, timeout=PATIENCE).json()
        for image in (f"picture{number}" for number in range(COUNT))
    }
    scores = {image: info["tunevlseg_uncertainty"][MODEL]["score"] for image, info in infos.items()}
    assert scores[shown] == max(scores.values())
    assert page.run("document.getElementById('labeled').textContent") == f"0 of {COUNT} labeled"


def test_the_picture_and_the_mask_by_text_are_right(page, server):
    open_image(page, "picture0")
    press(page, "t")
    segmented(page)
    found = labels(page)
    np.testing.assert_array_equal(found, inferred(server, "picture0", text=[NAME]) > 0)
    assert dice(found, circle_mask()) > 0.9
    url = page.run("document.querySelector('#editor canvas').toDataURL('image/png')")
    picture = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB")
    np.testing.assert_array_equal(np.asarray(picture), np.asarray(draw_picture()))


def test_clicks_and_boxes_correct_the_mask(page):
    open_image(page, "picture0")
    first, second = (circle_mask(circles=(circle,)) for circle in CIRCLES)
    for key, drag, expected in (
        ("p", CIRCLES[:1], first),
        ("m", CIRCLES[:1], second),
        ("x", ((80, 50), (140, 100)), second),
    ):
        press(page, "c")
        page.run(f"{said()} = ''")
        press(page, key)
        mouse(page, *drag)
        segmented(page)
        assert dice(labels(page), expected) > 0.9, key


def test_brush_and_eraser_paint_discs_and_can_be_undone(page):
    open_image(page, "picture1")
    press(page, "b")
    page.run("{ const b = document.getElementById('brush'); b.value = 11; b.dispatchEvent(new Event('input')) }")
    page.run("document.getElementById('images').focus()")  # a list that would take keys as letters of an image's name
    mouse(page, (20, 30), (60, 30))
    rows, columns = np.ogrid[: SIZE[0], : SIZE[1]]
    away = np.maximum(np.maximum(20 - columns, columns - 60), 0)
    painted = away**2 + (rows - 30) ** 2 <= 5.5**2
    np.testing.assert_array_equal(labels(page), painted)
    press(page, "e")
    mouse(page, (40, 30))
    erased = painted & ~((columns - 40) ** 2 + (rows - 30) ** 2 <= 5.5**2)
    np.testing.assert_array_equal(labels(page), erased)
    press(page, "z", control=True)
    np.testing.assert_array_equal(labels(page), painted)
    press(page, "z", control=True)
    assert not labels(page).any()
    press(page, "z", control=True)  # nothing is left to undo
    for expected in (painted, erased):
        press(page, "y", control=True)
        np.testing.assert_array_equal(labels(page), expected)


def test_a_second_class_has_its_own_value_and_text(page):
    open_image(page, "picture2")
    press(page, "t")
    segmented(page)
    before = labels(page)
    page.run("document.getElementById('new-class').focus(); document.getElementById('new-class').value = 'thing'")
    page.call("Input.dispatchKeyEvent", type="rawKeyDown", key="Enter", code="Enter", windowsVirtualKeyCode=13)
    page.run("document.getElementById('class-text').value = 'blue object'; document.activeElement.blur()")
    page.run(f"{said()} = ''")
    press(page, "t")
    segmented(page)
    assert labels(page, 1)[SQUARE[1] + 2, SQUARE[0]] and not (labels(page, 1) & before).any()
    np.testing.assert_array_equal(labels(page), before)


def wait_for_draft(folder, image, painted):
    """Wait until the draft of an image is what is painted with the first class."""
    until = time.monotonic() + PATIENCE
    while (draft := DraftFolder(folder / "drafts").read(image)) is None or ((draft[0] == 1) != painted).any():
        assert time.monotonic() < until, f"the draft of {image} is {draft}"
        time.sleep(0.1)


def leave(page):
    """Leave the page, which must not ask."""
    page.questions.clear()
    page.open("about:blank")
    assert page.questions == []


def come_back(page, url, image):
    """Open the page, which shows the image of the latest draft."""
    page.open(f"{url}#annotate")
    page.wait(f"document.body.dataset.connected && document.getElementById('image-name').textContent == '{image}'")


def test_an_edited_label_survives_the_page(page, url, folder):
    open_image(page, "picture3")
    press(page, "b")
    mouse(page, (100, 20), (110, 40))
    painted = labels(page)
    assert painted.any()
    wait_for_draft(folder, "picture3", painted)
    leave(page)
    come_back(page, url, "picture3")
    np.testing.assert_array_equal(labels(page), painted)


@pytest.mark.parametrize("release", [True, False])
def test_a_stroke_that_is_not_saved_yet_survives_the_page(page, url, folder, release):
    image = f"picture{2 + 3 * release}"
    open_image(page, image)
    press(page, "b")
    page.run("window.fetch = () => new Promise(() => {}); 0")  # a server that takes its time
    mouse(page, (30, 90), (60, 100 - 20 * release), release=release)
    painted = labels(page)
    assert painted.any()
    leave(page)
    wait_for_draft(folder, image, painted)
    page.call("Input.dispatchMouseEvent", type="mouseReleased", x=1, y=1, button="left", clickCount=1)
    come_back(page, url, image)
    np.testing.assert_array_equal(labels(page), painted)


def test_a_stroke_that_is_not_saved_yet_survives_the_browser(url, folder):
    """The only page of a browser is closed, as by a visitor, and the browser ends."""
    with browser(folder / "other_profile") as other:
        other.open(f"{url}#annotate")
        other.wait("document.body.dataset.connected")
        open_image(other, "picture3")
        press(other, "b")
        other.run("window.fetch = () => new Promise(() => {}); 0")
        mouse(other, (20, 20), (30, 100))
        painted = labels(other)
        other.call("Page.close")
        assert other.questions == []
        wait_for_draft(folder, "picture3", painted)


def test_the_page_asks_before_an_edit_is_lost(page, url, folder):
    open_image(page, "picture5")
    press(page, "b")
    page.run("window.served = fetch; window.fetch = () => Promise.reject(new TypeError()); 0")
    mouse(page, (100, 20))
    page.wait(f"{said()}.includes('not saved')")
    painted = labels(page)
    page.questions.clear()
    page.agrees = False  # to leave
    page.open("about:blank")
    page.agrees = True
    assert page.questions == ["beforeunload"]
    np.testing.assert_array_equal(labels(page), painted)
    page.run("window.fetch = served; 0")
    mouse(page, (110, 20))
    wait_for_draft(folder, "picture5", labels(page))
    page.wait(f"{said()}.includes('saved again')")  # the answer follows the draft
    leave(page)
    come_back(page, url, "picture5")


def test_the_page_asks_while_it_saves_a_label_of_many_pieces(page, url):
    """More pieces than a browser sends after the page is closed."""
    open_image(page, "picture5")
    page.run(f"""{{
        const [height, width] = {list(SIZE)};
        const json = new TextEncoder().encode(JSON.stringify({{ height, width }}));
        const length = new Uint8Array([0, 0, 0, json.length]);
        const mask = Uint8Array.from({{ length: width * height }}, (_, pixel) => pixel % 2);
        window.fetch = async (path) =>
            path.startsWith('annotate/masks') ? new Response(new Blob([length, json, mask])) : new Promise(() => {{}});
    }}""")
    press(page, "t")
    segmented(page)
    page.questions.clear()
    page.open("about:blank")
    assert page.questions == ["beforeunload"]
    come_back(page, url, "picture5")


def test_the_image_that_the_visitor_chooses_last_is_opened(page):
    """The answer of active learning comes after it, and is dropped."""
    page.run("""{
        const served = window.fetch;
        const held = new Promise((resolve) => { window.deliver = resolve; });
        window.asked = [];
        window.fetch = async (path, options) => {
            window.asked.push(path);
            if (!path.startsWith('annotate/next')) return served(path, options);
            await held;
            return new Response('{"id": "picture0"}');
        };
        document.getElementById('next').click();
    }""")
    open_image(page, "picture1")
    page.run("deliver()")
    open_image(page, "picture3")
    asked = page.run("window.asked.filter((path) => path.startsWith('annotate/picture'))")
    assert asked == ["annotate/picture?image=picture1", "annotate/picture?image=picture3"]
    page.call("Page.reload")
    page.wait("document.body.dataset.connected && !window.asked")


def test_strokes_while_another_image_loads_belong_to_the_shown_one(page, folder):
    open_image(page, "picture1")
    page.run("""{
        const served = window.fetch;
        const held = new Promise((resolve) => { window.deliver = resolve; });
        window.fetch = async (path, options) => {
            if (path.startsWith('annotate/picture')) await held;
            return served(path, options);
        };
        const images = document.getElementById('images');
        images.value = 'picture3';
        images.dispatchEvent(new Event('change', {bubbles: true}));
    }""")
    press(page, "b")
    mouse(page, (90, 100), (120, 100))
    painted = labels(page)
    page.run("deliver()")
    page.wait(f"document.getElementById('image-name').textContent == 'picture3' && !{said()}")
    wait_for_draft(folder, "picture1", painted)
    wait_for_draft(folder, "picture3", labels(page))
    open_image(page, "picture1")
    np.testing.assert_array_equal(labels(page), painted)


def test_a_submitted_label_is_the_shown_one(page, server, folder):
    open_image(page, "picture4")
    press(page, "t")
    segmented(page)
    press(page, "b")
    mouse(page, (5, 5))
    shown = labels(page)
    press(page, "s")
    file = folder / "studies" / "labels" / "final" / "picture4.png"
    page.wait("document.getElementById('labeled').textContent.startsWith('1 of')")
    saved = np.asarray(Image.open(file))
    np.testing.assert_array_equal(saved, shown)
    query = {"label": "picture4", "tag": "final"}
    info = httpx2.get(f"{server}/datastore/label/info", params=query, timeout=PATIENCE).json()
    assert info["label_names"] == {NAME: 1}
    page.wait(f"document.getElementById('image-name').textContent != 'picture4' && !{said()}")
    open_image(page, "picture4")  # a submitted label can be opened again
    np.testing.assert_array_equal(labels(page), shown)


def test_the_model_is_tuned_on_the_submitted_labels(page, server, folder):
    for number in (0, 5):
        open_image(page, f"picture{number}")
        press(page, "t")
        segmented(page)
        press(page, "s")
        page.wait(f"document.getElementById('images').querySelector('[value=picture{number}]').text.startsWith('✓')")
    page.run("document.getElementById('epochs').value = 1; document.getElementById('tune').click()")
    page.wait("!document.getElementById('tuning').hidden")
    page.wait("document.getElementById('tuning-result').textContent.includes('kept')", 600)
    stats = httpx2.get(f"{server}/info/", timeout=PATIENCE).json()["train_stats"][MODEL]
    sentence = page.run("document.getElementById('tuning-result').textContent")
    assert f"old none, new {stats['new_dice']:.1f}; the new checkpoint" in sentence
    assert (folder / MODEL / "models" / "model.pt").is_file()
    page.wait("!document.querySelector('input[value=tuned]').disabled")  # in the tab Try


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "named"),
    [
        ("POST", "next", {"strategy": "best", "model": MODEL}, 404, "'best'"),
        ("POST", "next", {"strategy": "../info", "model": MODEL}, 400, "'../info'"),
        ("POST", "next", [], 400, "[]"),
        ("POST", "masks", {"model": "liver", "image": "picture0"}, 404, "'liver'"),
        ("POST", "masks", {"model": MODEL, "image": "../app/main.py"}, 400, "'../app/main.py'"),
        ("POST", "masks", {"model": MODEL, "image": "picture0", "text": [""]}, 400, "text"),
        ("POST", "training", {"model": MODEL, "max_epochs": 0}, 400, "max_epochs"),
        ("GET", "picture?image=/etc/hostname", None, 400, "/etc/hostname"),
        ("POST", "draft?image=picture0", {}, 400, "JSON"),
    ],
)
def test_wrong_requests_are_refused(url, method, path, body, status, named):
    response = httpx2.request(method, f"{url}/annotate/{path}", json=body, timeout=PATIENCE)
    assert (response.status_code, named in response.json()["error"]) == (status, True), response.text


def test_a_server_that_is_gone_is_named(folder):
    gone = start_app(folder / MODEL, annotate=AnnotateRoutes("http://127.0.0.1:9", DraftFolder(folder / "other")))
    response = httpx2.post(f"{gone}/annotate/server", timeout=PATIENCE)
    assert (response.status_code, "http://127.0.0.1:9" in response.json()["error"]) == (502, True)
