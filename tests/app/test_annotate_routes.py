"""The routes of the tab Annotate without a MONAI Label server: drafts, and what is refused before one is asked."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest
from app_server import start_app
from test_drafts import LABELS, message

pytest.importorskip("httpx2", reason="the extra [app] is not installed")
pytest.importorskip("uvicorn", reason="the extra [app] is not installed")

import httpx2

from monai_tunevlseg.app import create_app
from monai_tunevlseg.app.annotate_routes import AnnotateRoutes
from monai_tunevlseg.app.drafts import DraftFolder

NOBODY = "http://127.0.0.1:9"
NAMES = {f"class {value}": value for value in range(1, 12)}
PATIENCE = 60  # seconds


class SlowDrafts(DraftFolder):
    """Drafts of which the first is saved when the test says so."""

    def __init__(self, folder) -> None:
        super().__init__(folder)
        self.begun, self.released = threading.Event(), threading.Event()

    def save(self, image, labels, info) -> None:
        if not self.begun.is_set():
            self.begun.set()
            assert self.released.wait(PATIENCE)
        super().save(image, labels, info)


@pytest.fixture
def drafts(tmp_path):
    return SlowDrafts(tmp_path / "drafts")


@pytest.fixture
def url(drafts):
    return start_app(annotate=AnnotateRoutes(NOBODY, drafts, max_upload=1000))


def post(url, path, **options):
    return httpx2.post(f"{url}/annotate/{path}", params={"image": "a"}, timeout=PATIENCE, **options)


def test_drafts_are_saved_in_the_order_of_their_arrival(url, drafts):
    """The last request of a page that is closed may follow one that the server still handles."""
    second = LABELS[::-1]
    threads = [
        threading.Thread(target=post, args=(url, "draft"), kwargs={"content": message(labels, names=NAMES)})
        for labels in (LABELS, second)
    ]
    threads[0].start()
    assert drafts.begun.wait(PATIENCE)
    threads[1].start()
    threads[1].join(1)
    assert threads[1].is_alive() and drafts.read("a") is None
    drafts.released.set()
    for thread in threads:
        thread.join(PATIENCE)
    np.testing.assert_array_equal(drafts.read("a")[0], second)


@pytest.mark.parametrize("path", ["draft", "submit"])
@pytest.mark.parametrize(
    ("content", "status", "named"),
    [
        (message(names=NAMES)[:-1], 400, "pixels"),
        (message(names=[]), 400, "names"),
        (message(names={"polyp": 1}), 400, "value 2"),
        (message(names={**NAMES, "polyp": 256}), 400, "256"),
        (message(names={**NAMES, "polyp": True}), 400, "True"),
        (message(names={**NAMES, " ": 3}), 400, "' '"),
        (message(names={"x" * 513: 1}), 400, "xxx"),
        (bytes(1001), 413, "the label is larger than 0.001 MB"),
    ],
)
def test_wrong_labels_are_refused(url, drafts, path, content, status, named):
    response = post(url, path, content=content)
    assert (response.status_code, named in response.json()["error"]) == (status, True), response.text
    assert not drafts.images()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "server"),
        ("POST", "next"),
        ("POST", "masks"),
        ("POST", "draft"),
        ("POST", "submit"),
        ("POST", "training"),
        ("DELETE", "training"),
    ],
)
@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
def test_other_pages_change_nothing(url, method, path, origin):
    response = httpx2.request(method, f"{url}/annotate/{path}", headers={"Origin": origin}, timeout=PATIENCE)
    assert (response.status_code, repr(origin) in response.json()["error"]) == (403, True)


def test_reading_changes_nothing(url):
    """Other pages can make the browser read, so what changes something is not read."""
    for path in ("server", "next", "masks", "draft", "submit"):
        assert httpx2.get(f"{url}/annotate/{path}").status_code == 404


def test_other_pages_cannot_show_pictures(url):
    response = httpx2.get(f"{url}/annotate/picture", params={"image": "a"})
    assert response.headers["cross-origin-resource-policy"] == "same-origin"


def test_without_a_server_the_way_out_is_named():
    response = httpx2.post(f"{start_app()}/annotate/server")
    assert (response.status_code, "--server URL" in response.json()["error"]) == (400, True)


def test_a_page_that_is_closed_while_it_sends_is_no_error(drafts):
    """What uvicorn tells the application then."""
    app, sent = create_app([], annotate=AnnotateRoutes(NOBODY, drafts)), []
    messages = iter([{"type": "http.request", "body": message(names=NAMES)[:9], "more_body": True}])

    async def receive():
        return next(messages, {"type": "http.disconnect"})

    async def send(part):
        sent.append(part)

    headers = [(b"host", b"127.0.0.1")]
    request = {"method": "POST", "path": "/annotate/draft", "query_string": b"image=a", "headers": headers}
    asyncio.run(app({"type": "http", "http_version": "1.1", **request}, receive, send))
    assert sent[0]["status"] == 400 and not drafts.images()
