"""README's section for whoever annotates, as it is written but for names, places and the launcher."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from annotated import REPOSITORY, draw_picture, write_bundle

pytest.importorskip("monailabel", reason="monailabel has an environment of its own: make test-label")

from label_server import label_server

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
NAME = "kvasir_polyp_clipseg_vpt"


def block(language: str, after: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", README[README.index(after) :], re.DOTALL)
    assert found, f"README has no {language} block after {after!r}"
    return found[1]


def test_the_server_starts_with_the_printed_app_and_the_snippet_runs(tmp_path, monkeypatch):
    line = block("sh", "<!-- annotate -->").splitlines()[-1]
    start = "monailabel start_server --app $(tunevlseg label-app) --studies IMAGES --conf bundles DIR[,DIR]"
    assert line == start  # which is what label_server runs
    command = [sys.executable, "-m", "monai_tunevlseg", "label-app"]
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    printed = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    bundle = write_bundle(tmp_path / NAME, ("polyp",))
    studies = tmp_path / "studies"
    studies.mkdir()
    for number in range(4):
        draw_picture(number).save(studies / f"image{number}.png")
    snippet = block("python", "<!-- client -->").replace('"max_epochs": 10', '"max_epochs": 1')
    app = Path(printed.stdout.strip())
    with label_server(app, studies, ("bundles", str(bundle))) as server:
        monkeypatch.chdir(tmp_path)
        names: dict[str, object] = {}
        exec(snippet.replace("http://127.0.0.1:8000", server.url), names)
    assert Path(str(names["mask"])).is_file()
    assert names["answer"]["label_names"] == {"polyp": 1}
    assert list(studies.rglob("labels/final/image0.png"))


def test_the_commands_of_the_stock_app_are_those_that_its_test_runs():
    lines = block("sh", "<!-- stock app -->").splitlines()
    assert lines[0] == "monailabel apps --download --name monaibundle --output APPS"
    assert lines[2].endswith(f"--conf models {NAME} --conf zoo_source ngc")
