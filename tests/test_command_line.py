"""The commands ``bundles`` and ``init``."""

from __future__ import annotations

import shutil
from pathlib import Path

from typer.testing import CliRunner

from monai_tunevlseg.__main__ import app
from monai_tunevlseg.bundles import bundle_names

ROOT = Path(__file__).resolve().parents[1]


def test_bundles_are_checked_and_written(tmp_path):
    bundles = tmp_path / "bundles"
    options = ["--configs-dir", str(ROOT / "configs"), "--bundles-dir", str(bundles)]
    written = CliRunner().invoke(app, ["bundles", "write", *options])
    assert written.exit_code == 0 and "clipseg_vpt/configs/train.yaml" in written.output.replace("\n", "")
    checked = CliRunner().invoke(app, ["bundles", "check", *options])
    assert checked.exit_code == 0 and checked.output.startswith(f"{len(bundle_names(ROOT / 'configs'))} bundles")
    (bundles / "clipseg_vpt" / "configs" / "train.yaml").write_text("epochs: 1\n")
    stale = CliRunner().invoke(app, ["bundles", "check", *options])
    assert stale.exit_code == 1 and "train.yaml" in stale.output


def test_committed_bundles_are_current(tmp_path):
    copied = tmp_path / "bundles"
    shutil.copytree(ROOT / "bundles", copied, ignore=shutil.ignore_patterns("models", "eval", "output"))
    options = ["--configs-dir", str(ROOT / "configs"), "--bundles-dir", str(copied)]
    assert CliRunner().invoke(app, ["bundles", "check", *options]).exit_code == 0


def test_init_writes_bundles_with_their_experiments(tmp_path):
    result = CliRunner().invoke(app, ["init", str(tmp_path), "--bundle", "clipseg_vpt", "--bundle", "cris_coop"])
    assert result.exit_code == 0 and "clipseg_vpt" in result.output
    assert sorted(path.name for path in (tmp_path / "bundles").iterdir()) == ["clipseg_vpt", "cris_coop"]
    for path in (tmp_path / "bundles" / "clipseg_vpt").rglob("*"):
        original = ROOT / path.relative_to(tmp_path)
        assert path.is_dir() or path.read_bytes() == original.read_bytes()
    for config in (Path("configs", "kvasir", "cris_coop.yaml"), Path("configs", "recipes", "robust.yaml")):
        assert (tmp_path / config).read_bytes() == (ROOT / config).read_bytes()


def test_init_refuses_existing_and_unknown_bundles(tmp_path):
    assert "clipseg_vptt" in CliRunner().invoke(app, ["init", str(tmp_path), "--bundle", "clipseg_vptt"]).output
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "bundles" / "cris_coop").mkdir(parents=True)
    result = CliRunner().invoke(app, ["init", str(tmp_path)])
    assert result.exit_code == 1 and "cris_coop" in result.output.replace("\n", "")
    assert sorted((tmp_path / "bundles").iterdir()) == [tmp_path / "bundles" / "cris_coop"]


def test_a_wrong_configs_folder_is_a_usage_error_and_removes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "bundles" / "clipseg_vpt" / "configs" / "train.yaml"
    config.parent.mkdir(parents=True)
    config.write_text("# clipseg_vpt: training. Written by `make bundles` from configs/; change it there.\n")
    for command in ("write", "check"):
        for wrong in ("nowhere", "."):
            result = CliRunner().invoke(app, ["bundles", command, "--configs-dir", wrong, "--bundles-dir", "bundles"])
            assert result.exit_code == 2 and "--configs-dir" in result.output
    assert config.is_file()
