"""Headless Chromium, controlled through a pipe with the DevTools protocol."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium")
SIZE = "1500,900"
SILENCE = 240  # seconds in which the browser answers
# WebGL, which the viewer draws with, without a GPU
OPTIONS = ("--headless=new", "--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")


class Page:
    """The only page of a browser.

    Args:
        reading: file descriptor for the browser's messages.
        writing: file descriptor for messages to the browser.

    Attributes:
        questions: the kinds of the dialogs that pages have opened, such as ``beforeunload``.
        agrees: the answer to dialogs; false = a page that asks is not left.
    """

    def __init__(self, reading: int, writing: int) -> None:
        self._reading, self._writing = reading, writing
        self._received = b""
        self._count = 0
        self._session: str | None = None
        self._shown: str | None = None  # the load of the document that is shown
        self.questions: list[str] = []
        self.agrees = True
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        self.call("Page.enable")

    def open(self, url: str) -> None:
        """Navigate to an address, and wait until its document replaces the one before.

        The browser answers earlier, and does not answer at all if it is then asked for another address.
        """
        loaded = self.call("Page.navigate", url=url)
        while "errorText" not in loaded and loaded.get("loaderId") not in (None, self._shown):
            self._read()

    def run(self, script: str) -> Any:
        """Return the value of a script's last expression, which must be serializable as JSON."""
        return self.call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def wait(self, script: str, seconds: float = 240) -> None:
        """Wait until an expression is true.

        Raises:
            TimeoutError: when it stays false; has the text of the page.
        """
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.run(f"!!({script})"):
                return
            time.sleep(0.3)
        raise TimeoutError(f"{script} is not true on: {self.run('document.body.innerText')}")

    def picture(self) -> bytes:
        """Return a screenshot as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot")["data"])

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Return the result of a method of the DevTools protocol.

        Raises:
            RuntimeError: when the browser refuses it, or has ended.
            TimeoutError: when the browser does not answer.
        """
        number = self._send(method, params)
        while (answer := self._read()).get("id") != number:
            pass
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def _send(self, method: str, params: Mapping[str, Any]) -> int:
        self._count += 1
        message = {"id": self._count, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._writing, json.dumps(message).encode() + b"\0")
        return self._count

    def _read(self) -> dict[str, Any]:
        """Return the next message, after what an event asks for."""
        while b"\0" not in self._received:
            if not select.select([self._reading], [], [], SILENCE)[0]:
                raise TimeoutError(f"the browser says nothing for {SILENCE} seconds.")
            received = os.read(self._reading, 1 << 16)
            if not received:
                raise RuntimeError("the browser has ended")
            self._received += received
        content, _, self._received = self._received.partition(b"\0")
        message = json.loads(content)
        params = message.get("params", {})
        if message.get("method") == "Page.javascriptDialogOpening":
            self.questions.append(params["type"])
            self._send("Page.handleJavaScriptDialog", {"accept": self.agrees})
        elif message.get("method") == "Page.frameNavigated" and "parentId" not in params["frame"]:
            self._shown = params["frame"]["loaderId"]
        return message


@contextmanager
def browser(folder: Path) -> Iterator[Page]:
    """Run a browser with its profile in a folder, and yield its page."""
    their_reading, writing = os.pipe()
    reading, their_writing = os.pipe()
    command = [str(CHROMIUM), *OPTIONS, "--remote-debugging-pipe", f"--window-size={SIZE}"]
    command += [f"--user-data-dir={folder}", "about:blank"]

    def take_pipes() -> None:  # the protocol uses file descriptors 3 and 4
        spare = [fcntl.fcntl(theirs, fcntl.F_DUPFD, 10) for theirs in (their_reading, their_writing)]
        os.dup2(spare[0], 3)
        os.dup2(spare[1], 4)

    with (folder.parent / "chromium.log").open("w") as log:
        process = subprocess.Popen(
            command, stderr=log, stdout=log, preexec_fn=take_pipes, pass_fds=(3, 4), start_new_session=True
        )
    os.close(their_reading)
    os.close(their_writing)
    try:
        yield Page(reading, writing)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(reading)
        os.close(writing)
