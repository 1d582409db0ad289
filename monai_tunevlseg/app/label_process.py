"""A child process that runs MONAI Label's server on a folder of pictures."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import httpx2

from monai_tunevlseg.data.io.pictures import PICTURE_SUFFIXES
from monai_tunevlseg.monai_label import write_app_folder

__all__ = ["LabelProcess", "last_error"]

GRACE = 15  # seconds in which the server stops a training
ERRORS = (r"^\w[\w.]*(?:Error|Exception|Exit)\b.*", r"^.*\[(?:ERROR|CRITICAL)\].*", r"^.*\S.*")
"""Lines of the log that say why the server has ended, the best first: the end of a traceback, an error, any line."""


class LabelProcess:
    """Starts the server when it is first needed; it ends with this process.

    Args:
        bundles: folders of the bundles.
        images: folder of the pictures, in which the server saves labels.
        folder: folder for the server's app and log.
    """

    def __init__(self, bundles: Sequence[str | Path], images: str | Path, folder: Path) -> None:
        self.bundles = [str(Path(bundle).expanduser().resolve()) for bundle in bundles]
        self.images = Path(images).expanduser().resolve()
        self.folder = folder
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._url = ""

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.folder / "server.log"

    def start(self) -> str:
        """Start the server unless it runs, and return its address; it responds some time later.

        Raises:
            ValueError: when MONAI Label is not installed, or a bundle's path has a comma.
        """
        with self._lock:
            if self._process is None:
                if importlib.util.find_spec("monailabel") is None:
                    raise ValueError(
                        "MONAI Label is not installed in this environment; start the page in the one of "
                        "docs/monai-label.md, or pass --server URL."
                    )
                self._process = self._started()
            return self._url

    def responds(self) -> bool:
        """Return whether the started server is ready.

        Raises:
            ValueError: when it has ended, after which it can be started again; has the last error in its log.
        """
        with self._lock:
            if self._process is not None and self._process.poll() is not None:
                self._process = None
                reason = last_error(self.log.read_text(errors="replace"))
                raise ValueError(f"MONAI Label has ended: {reason:.500} (more in {self.log})")
        try:
            return httpx2.get(f"{self._url}/info/", timeout=5, trust_env=False).is_success
        except httpx2.HTTPError:
            return False

    def stop(self) -> None:
        """Stop the server, and the training that it runs."""
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                self._process.terminate()
                try:
                    self._process.wait(GRACE)
                except subprocess.TimeoutExpired:
                    self._process.kill()
            self._process = None

    def _started(self) -> subprocess.Popen[bytes]:
        if any("," in bundle for bundle in self.bundles):
            raise ValueError(f"a bundle's path has a comma, which MONAI Label does not accept: {self.bundles}.")
        app = write_app_folder(self.folder / "app")
        port = _free_port()
        self._url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "monai_tunevlseg.monai_label", "start_server", "--app", str(app)]
        command += ["--studies", str(self.images), "--host", "127.0.0.1", "--port", str(port)]
        command += ["--conf", "bundles", ",".join(self.bundles)]
        pictures = json.dumps([f"*{suffix}" for suffix in PICTURE_SUFFIXES])
        environment = {
            "MONAI_LABEL_DATASTORE_FILE_EXT": pictures,
            "TUNEVLSEG_LABEL_SERVER": str(os.getpid()),  # server_processes ends the server with this process
        }
        with self.log.open("wb") as log:
            return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=os.environ | environment)


def last_error(log: str) -> str:
    """Return the line of a server's log that says why it has ended."""
    found = (re.findall(pattern, log, re.MULTILINE) for pattern in ERRORS)
    return next((lines[-1] for lines in found if lines), "its log is empty")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
