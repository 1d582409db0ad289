"""A server that answers the requests of huggingface_hub for pushing to and downloading from one repository."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

OID = re.compile(r"[0-9a-f]{40}")


class FakeHub(ThreadingHTTPServer):
    """Commits and tags of one repository, in memory."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.repo, self.visibility, self.token = "", "", ""
        self.commits: dict[str, dict[str, bytes]] = {"0" * 40: {}}
        self.head = "0" * 40
        self.tags: dict[str, str] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def revision(self, name: str) -> str:
        if OID.fullmatch(name):
            return name
        return self.head if name == "main" else self.tags[name]

    def commit(self, lines: list[dict[str, Any]]) -> str:
        files = dict(self.commits[self.head])
        for line in lines:
            if line["key"] == "file":
                files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        self.head = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()  # noqa: S324
        self.commits[self.head] = files
        return self.head


class _Answers(BaseHTTPRequestHandler):
    server: FakeHub

    def log_message(self, *_) -> None:
        pass

    def do_POST(self) -> None:
        hub, path, body = self.server, unquote(urlsplit(self.path).path), self._body()
        if path == "/api/repos/create":
            request = json.loads(body)
            hub.repo = "/".join(part for part in (request.get("organization"), request["name"]) if part)
            hub.visibility, hub.token = request["visibility"], self.headers.get("authorization", "")
            return self._json({"url": f"{hub.url}/{hub.repo}"})
        if path == "/api/validate-yaml":
            return self._json({"errors": [], "warnings": []})
        if "/preupload/" in path:
            files = [file["path"] for file in json.loads(body)["files"]]
            answers = [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in files]
            return self._json({"files": answers})
        if "/commit/" in path:
            oid = hub.commit([json.loads(line) for line in body.splitlines()])
            return self._json({"commitUrl": f"{hub.url}/{hub.repo}/commit/{oid}", "commitOid": oid})
        if "/tag/" in path:
            tag = json.loads(body)["tag"]
            if tag in hub.tags:
                return self._json({"error": "tag exists"}, 409)
            hub.tags[tag] = hub.revision(path.rpartition("/tag/")[2])
            return self._json({})
        return self._json({"error": path}, 404)

    def do_DELETE(self) -> None:
        del self.server.tags[unquote(self.path).rpartition("/tag/")[2]]
        self._json({})

    def do_GET(self) -> None:
        hub, path = self.server, unquote(urlsplit(self.path).path)
        if path.endswith("/refs"):
            tags = [{"name": name, "ref": f"refs/tags/{name}", "targetCommit": oid} for name, oid in hub.tags.items()]
            return self._json({"branches": [], "converts": [], "tags": tags})
        if "/resolve/" in path:
            revision, _, name = path.partition("/resolve/")[2].partition("/")
            return self._file(hub.revision(revision), name)
        if not (asked := re.search(r"/(?:revision|tree)/([^/]+)", path)):
            return self._json({"error": path}, 404)
        files = hub.commits[hub.revision(asked[1])]
        if "/tree/" in path:
            entries = [{"type": "file", "path": name, "size": len(data), "oid": "0"} for name, data in files.items()]
            return self._json(entries)
        oid = hub.revision(path.rpartition("/revision/")[2])
        return self._json({"id": hub.repo, "sha": oid, "siblings": [{"rfilename": name} for name in files]})

    do_HEAD = do_GET  # noqa: N815 - a name of http.server

    def _file(self, oid: str, name: str) -> None:
        content = self.server.commits[oid].get(name)
        if content is None:
            return self._json({"error": "no entry"}, 404)
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", oid)
        return self._end(content)

    def _json(self, content: Any, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self._end(json.dumps(content).encode())

    def _end(self, content: bytes) -> None:
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))


@contextmanager
def running_hub() -> Iterator[FakeHub]:
    """Run a hub in a thread."""
    hub = FakeHub()
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
