"""A real MONAI Label server in a process of its own, on a free local port."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

PATIENCE = 600  # seconds for the start; imports take minutes on a busy machine


@dataclass(frozen=True)
class Server:
    """A running server."""

    url: str
    log: Path
    process: subprocess.Popen

    def infer(self, model: str, image: str, params: str = "{}", **query: str) -> requests.Response:
        """Send an inference request unchecked."""
        query["image"] = image
        return requests.post(f"{self.url}/infer/{model}", params=query, data={"params": params})


def free_port() -> int:
    """Return an unused port of the loopback interface."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(url: str, process: subprocess.Popen, log: Path) -> None:
    """Wait for a server to respond.

    Raises:
        RuntimeError: when the process ends before that, or takes too long; has the end of the log.
    """
    until = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < until:
        try:
            urllib.request.urlopen(url, timeout=30).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    process.kill()
    raise RuntimeError(f"{url} does not respond:\n{log.read_text()[-4000:]}")


@contextmanager
def started(command: Sequence[str], url: str, log: Path, **more) -> Iterator[subprocess.Popen]:
    """Run a server and its child processes until the block ends."""
    with log.open("w") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True, **more)
    try:
        wait_for(url, process, log)
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def label_server(app: Path, studies: str | Path, *conf: tuple[str, str], **environment: str) -> Iterator[Server]:
    """Start MONAI Label's server with its own command."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "monai_tunevlseg.monai_label", "start_server", "--app", str(app)]
    command += ["--studies", str(studies), "--host", "127.0.0.1", "--port", str(port)]
    for name, value in conf:
        command += ["--conf", name, value]
    home = app.parent / "home"  # for MONAI Label's sessions and caches
    home.mkdir(exist_ok=True)
    temporary = app.parent / "tmp"
    temporary.mkdir(exist_ok=True)
    env = os.environ | {"HOME": str(home), "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"} | environment
    log = app.parent / "server.log"
    with started(command, f"{url}/info/", log, env=env, cwd=home) as process:
        yield Server(url, log, process)
