"""Digests that a bundle states are compared with its files."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from typer.testing import CliRunner

from monai_tunevlseg.__main__ import app
from monai_tunevlseg.inspection import inspect_bundle

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def templates(tmp_path) -> Path:
    source, folder = ROOT / "bundles" / "clipseg_vpt", tmp_path / "templates"
    shutil.copytree(source, folder / "clipseg_vpt", ignore=shutil.ignore_patterns("models", "eval", "output"))
    return folder


@pytest.fixture
def bundle(templates, tmp_path) -> Path:
    folder = shutil.copytree(templates / "clipseg_vpt", tmp_path / "bundle")
    (folder / "models").mkdir()
    torch.save({"weight": torch.zeros(2)}, folder / "models" / "model.pt")
    return folder


def digest(path: Path, kind: str = "sha256") -> str:
    return hashlib.new(kind, path.read_bytes()).hexdigest()


@pytest.mark.parametrize("record", ["models/calibration.json", "models/hyperparameters.json", "configs/metadata.json"])
def test_the_digest_of_the_weights_is_compared(record, bundle, templates):
    path, model = bundle / record, bundle / "models" / "model.pt"
    content = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(content | {"checkpoint_digest": digest(model)[:16]}))
    result = inspect_bundle(bundle, templates)
    assert result.findings == [] and [record in sentence for sentence in result.digests] == [True]
    torch.save({"weight": torch.ones(2)}, model)
    ((finding),) = inspect_bundle(bundle, templates).findings
    assert (finding.file, finding.kind) == (record, "digest") and digest(model)[:16] in finding.text


def test_large_files_are_compared(bundle, templates):
    model = bundle / "models" / "model.pt"
    entry = {"path": "models/model.pt", "url": "https://host/model.pt", "hash_val": digest(model, "md5")}
    listed = bundle / "large_files.yml"

    def kinds(**changes):
        listed.write_text(yaml.safe_dump({"large_files": [entry | changes]}))
        return [(finding.file, finding.kind) for finding in inspect_bundle(bundle, templates).findings]

    assert kinds() == []  # MONAI's default is MD5
    assert kinds(hash_val=digest(model), hash_type="sha256") == []
    assert kinds(hash_type="sha1") == [("models/model.pt", "digest")]
    assert kinds(hash_val="") == [("large_files.yml", "digest")]
    assert ("large_files.yml", "path") in kinds(path="../evil.pt")
    model.unlink()
    assert kinds() == []
    assert ["https://host/model.pt" in sentence for sentence in inspect_bundle(bundle, templates).digests] == [True]


def test_the_command_lists_findings_and_its_exit_code_says_whether_there_are_any(bundle, templates, tmp_path):
    def run(path):
        return CliRunner().invoke(app, ["inspect", str(path), "--bundles-dir", str(templates)])

    clean = run(bundle)
    assert clean.exit_code == 0 and "unknown: " not in clean.output
    (bundle / "configs" / "extra.yaml").write_text(yaml.safe_dump({"a": "$print('\x1b[2J\u202e')"}))
    found = run(bundle)
    assert found.exit_code == 1 and "\x1b" not in found.output and "\u202e" not in found.output
    assert r"unknown: configs/extra.yaml, a: expression: $print('\x1b[2J\u202e')" in found.output
    missing = run(tmp_path / "none")
    assert missing.exit_code == 1 and "error: " in missing.output and "Traceback" not in missing.output
