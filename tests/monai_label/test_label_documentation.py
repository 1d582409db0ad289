"""The commands and the snippet of docs/monai-label.md, unchanged but for names, places and the launcher."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from documentation import block, lines
from label_fixtures import draw_picture, write_bundle

pytest.importorskip("monailabel", reason="monailabel has an environment of its own: make test-label")

from label_server import label_server

NAME = "kvasir_polyp_clipseg_vpt"


def test_the_server_starts_with_the_printed_app_and_the_snippet_runs(tmp_path, monkeypatch):
    line = lines("annotate")[-1]
    start = "monailabel start_server --host 127.0.0.1 --app $(tunevlseg label-app)"
    assert line == f"{start} --studies IMAGES --conf bundles DIR[,DIR]"  # label_server runs it
    command = [sys.executable, "-m", "monai_tunevlseg", "label-app"]
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    printed = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    bundle = write_bundle(tmp_path / NAME, ("polyp",))
    studies = tmp_path / "studies"
    studies.mkdir()
    for number in range(4):
        draw_picture(number).save(studies / f"image{number}.png")
    snippet = block("client").replace('"max_epochs": 10', '"max_epochs": 1')
    app = Path(printed.stdout.strip())
    with label_server(app, studies, ("bundles", str(bundle))) as server:
        monkeypatch.chdir(tmp_path)
        names: dict[str, object] = {}
        exec(snippet.replace("http://127.0.0.1:8000", server.url), names)
    assert Path(str(names["mask"])).is_file()
    assert names["answer"]["label_names"] == {"polyp": 1}
    assert list(studies.rglob("labels/final/image0.png"))
