"""The command line around what the package does."""

from __future__ import annotations

import shutil
from pathlib import Path

from typer.testing import CliRunner

from monai_tunevlseg.__main__ import app

ROOT = Path(__file__).resolve().parents[1]


def test_bundles_are_checked_and_written(tmp_path):
    bundles = tmp_path / "bundles"
    options = ["--configs-dir", str(ROOT / "configs"), "--bundles-dir", str(bundles)]
    written = CliRunner().invoke(app, ["bundles", "write", *options])
    assert written.exit_code == 0 and "clipseg_vpt/configs/train.yaml" in written.output.replace("\n", "")
    checked = CliRunner().invoke(app, ["bundles", "check", *options])
    assert checked.exit_code == 0 and checked.output.startswith("10 bundles")
    (bundles / "clipseg_vpt" / "configs" / "train.yaml").write_text("epochs: 1\n")
    stale = CliRunner().invoke(app, ["bundles", "check", *options])
    assert stale.exit_code == 1 and "train.yaml" in stale.output


def test_committed_bundles_are_current(tmp_path):
    copied = tmp_path / "bundles"
    shutil.copytree(ROOT / "bundles", copied, ignore=shutil.ignore_patterns("models", "eval", "output"))
    options = ["--configs-dir", str(ROOT / "configs"), "--bundles-dir", str(copied)]
    assert CliRunner().invoke(app, ["bundles", "check", *options]).exit_code == 0


def test_init_lays_bundles_down_with_their_experiments(tmp_path):
    said = CliRunner().invoke(app, ["init", str(tmp_path), "--bundle", "clipseg_vpt", "--bundle", "cris_coop"])
    assert said.exit_code == 0 and "clipseg_vpt" in said.output
    assert sorted(path.name for path in (tmp_path / "bundles").iterdir()) == ["clipseg_vpt", "cris_coop"]
    for path in (tmp_path / "bundles" / "clipseg_vpt").rglob("*"):
        ours = ROOT / path.relative_to(tmp_path)
        assert path.is_dir() or path.read_bytes() == ours.read_bytes()
    experiment = Path("configs", "kvasir", "cris_coop.yaml")
    assert (tmp_path / experiment).read_bytes() == (ROOT / experiment).read_bytes()


def test_init_refuses_what_is_there_and_unknown_bundles(tmp_path):
    assert "clipseg_vptt" in CliRunner().invoke(app, ["init", str(tmp_path), "--bundle", "clipseg_vptt"]).output
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "bundles" / "cris_coop").mkdir(parents=True)
    said = CliRunner().invoke(app, ["init", str(tmp_path)])
    assert said.exit_code == 1 and "cris_coop" in said.output.replace("\n", "")
    assert sorted((tmp_path / "bundles").iterdir()) == [tmp_path / "bundles" / "cris_coop"]


def test_a_wrong_folder_of_fragments_is_misuse_and_removes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "bundles" / "clipseg_vpt" / "configs" / "train.yaml"
    config.parent.mkdir(parents=True)
    config.write_text("# clipseg_vpt: training. Written by `make bundles` from configs/; change it there.\n")
    for command in ("write", "check"):
        for wrong in ("nowhere", "."):
            ended = CliRunner().invoke(app, ["bundles", command, "--configs-dir", wrong, "--bundles-dir", "bundles"])
            assert ended.exit_code == 2 and "--configs-dir" in ended.output
    assert config.is_file()
