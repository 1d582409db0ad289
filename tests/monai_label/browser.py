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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium")
SIZE = "1500,900"
SILENCE = 240  # seconds
# WebGL, which the viewer draws with, without a GPU
OPTIONS = ("--headless=new", "--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")


class Page:
    """The only page of a browser.

    Args:
        reading: file descriptor for the browser's messages.
        writing: file descriptor for messages to the browser.
    """

    def __init__(self, reading: int, writing: int) -> None:
        self._reading, self._writing = reading, writing
        self._received = b""
        self._count = 0
        self._session: str | None = None
        targets = self._call("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        self._session = self._call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]

    def open(self, url: str) -> None:
        """Navigate to an address."""
        self._call("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        """Return the value of a script's last expression, which must be serializable as JSON."""
        return self._call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

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
        return base64.b64decode(self._call("Page.captureScreenshot")["data"])

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        self._count += 1
        message = {"id": self._count, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._writing, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._count:
            pass
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._received:
            if not select.select([self._reading], [], [], SILENCE)[0]:
                raise TimeoutError(f"the browser says nothing for {SILENCE} seconds; does it ask something?")
            received = os.read(self._reading, 1 << 16)
            if not received:
                raise RuntimeError("the browser has ended")
            self._received += received
        message, _, self._received = self._received.partition(b"\0")
        return json.loads(message)


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
