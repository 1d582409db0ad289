"""The trials of a search encode each image once in total."""

from pathlib import Path

from typer.testing import CliRunner

from monai_tunevlseg.__main__ import app

ROOT = Path(__file__).resolve().parents[2]


def test_trials_share_their_features(pictures, tiny_clipseg_dir, tmp_path):
    values = {"pretrained": tiny_clipseg_dir, "epochs": 1, "device": "cpu", "class_names": "square", "num_context": 2}
    arguments = [word for name, value in values.items() for word in ("--override", f"{name}={value}")]
    folders = ["--configs-dir", str(ROOT / "configs"), "--bundles-dir", str(ROOT / "bundles")]
    command = ["search", "ultrasound/clipseg_coop", "--dataset-dir", str(pictures), "--output-dir", str(tmp_path)]
    result = CliRunner().invoke(app, [*command, "--n-trials", "2", "--share-features", *arguments, *folders])
    assert result.exit_code == 0, result.output
    logs = [(tmp_path / "trials" / trial / "log.txt").read_text() for trial in ("0000", "0001")]
    assert [log.count("for the feature cache") for log in logs] == [2, 0]
    assert len(list((tmp_path / "features").glob("*.safetensors"))) == 5 + 2 + 1  # the best trial's test
    assert "feature_cache: disk" in (tmp_path / "best.yaml").read_text()


def test_a_search_whose_features_change_is_refused_before_its_trials(pictures, tmp_path):
    folders = ["--configs-dir", str(ROOT / "configs"), "--bundles-dir", str(ROOT / "bundles")]
    command = ["search", "ultrasound/clipseg_lora", "--dataset-dir", str(pictures), "--output-dir", str(tmp_path)]
    result = CliRunner().invoke(app, [*command, "--share-features", *folders])
    assert result.exit_code == 1
    assert "'lora'" in result.output and "adapted_parts" in result.output
    assert not (tmp_path / "trials").exists()
