"""Bundles on the Hugging Face hub: the card, what a push uploads, and what MONAI downloads again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fake_hub import running_hub
from huggingface_hub import ModelCard
from typer.testing import CliRunner

from monai_tunevlseg.__main__ import app
from monai_tunevlseg.sharing import prepare_upload

METADATA = {
    "version": "0.2.0",
    "name": "CLIPSeg with VPT on Kvasir-SEG",
    "base_model": {"id": "CIDAS/clipseg-rd64", "fingerprint": "0" * 16},
    "dataset": {"name": "kvasir", "title": "Kvasir-SEG: polyps"},
    "weights_license": "CC BY 4.0",
    "eval_metrics": {
        "split": "test",
        "pairs": 100,
        "mean_dice": 0.8712,
        "mean_dice_foreground": 0.86,
        "mean_surface_dice": 0.7,
        "classes": {"polyp": {"mean_dice": 0.8712}},
    },
}


@pytest.fixture
def bundle(tmp_path) -> Path:
    folder = tmp_path / "kvasir_polyp_clipseg_vpt"
    for name, content in {
        "configs/metadata.json": json.dumps(METADATA),
        "configs/inference.json": "{}",
        "docs/README.md": "# CLIPSeg with VPT\n\nText --- and more.\n",
        "models/model.pt": "weights",
        "LICENSE": "Apache License",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


def change_metadata(bundle, **values):
    (bundle / "configs" / "metadata.json").write_text(json.dumps(METADATA | values))


def facts_of(bundle):
    """Return the facts of the card, as huggingface_hub parses them, and the text after them."""
    card = ModelCard(prepare_upload(bundle, "owner/name").card)
    return card.data, card.text


def test_the_card_has_the_facts_that_the_hub_reads(bundle):
    facts, text = facts_of(bundle)
    assert text.strip() == (bundle / "docs" / "README.md").read_text().strip()
    assert (facts.license, facts.base_model, facts.datasets) == ("cc-by-4.0", "CIDAS/clipseg-rd64", ["kvasir"])
    assert (facts.library_name, facts.pipeline_tag) == ("monai", "image-segmentation")
    assert facts.metrics == ["dice", "surface_dice"] and facts.model_name == bundle.name
    results = {result.metric_name: result for result in facts.eval_results}
    assert {name: result.metric_value for name, result in results.items()} == {
        "dice, all pairs": 0.8712,
        "dice, pairs with foreground": 0.86,
        "surface dice, all pairs": 0.7,
    }
    one = results["dice, all pairs"]
    assert (one.dataset_type, one.dataset_name, one.dataset_split) == ("kvasir", "Kvasir-SEG: polyps", "test")


def test_the_card_states_nothing_that_is_unknown(bundle):
    change_metadata(bundle, weights_license=None, eval_metrics={}, base_model={"id": "the tiny clipseg of a package"})
    facts, _ = facts_of(bundle)
    assert (facts.license, facts.base_model, facts.eval_results, facts.metrics) == ("unknown", None, None, None)
    change_metadata(bundle, weights_license="Research: only, see\npage")
    facts, _ = facts_of(bundle)
    assert (facts.license, facts["license_name"]) == ("other", "research:-only,-see-page")


def run(bundle, *options):
    return CliRunner().invoke(app, ["push", str(bundle), *options])


def test_a_dry_run_lists_the_files_and_uploads_nothing(bundle, monkeypatch):
    monkeypatch.setattr("socket.socket.connect", None)  # any request fails
    result = run(bundle, "owner/name", "--dry-run")
    assert result.exit_code == 0, result.output
    for name in ("configs/metadata.json", "docs/README.md", "models/model.pt", "LICENSE", "README.md", "0.2.0"):
        assert name in result.output
    assert "license: cc-by-4.0" in result.output and not (bundle / "README.md").exists()


def test_invalid_input_is_named(bundle, tmp_path):
    def refused(*options):
        result = run(*options)
        assert result.exit_code == 1 and "error: " in result.output and "Traceback" not in result.output
        return result.output.replace("\n", "")

    assert "'name'" in refused(bundle, "name", "--dry-run")
    assert "a b" in refused(bundle, "owner/a b", "--dry-run")
    assert "metadata.json" in refused(tmp_path / "none", "owner/name", "--dry-run")
    change_metadata(bundle, version="one")
    assert "X.Y.Z" in refused(bundle, "owner/name", "--dry-run")
    change_metadata(bundle)
    (bundle / ".token").write_text("secret")
    assert ".token" in refused(bundle, "owner/name", "--dry-run")


def test_a_pushed_bundle_is_what_monai_downloads(bundle, tmp_path):
    def execute(*arguments):
        environment = os.environ | {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_test", "HF_HUB_OFFLINE": "0"}
        environment |= {"HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
        command = [sys.executable, "-m", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)

    with running_hub() as hub:
        hub.tags["latest_version"] = hub.head  # of an earlier version
        pushed = execute("monai_tunevlseg", "push", bundle, "owner/name")
        assert pushed.returncode == 0, pushed.stderr + pushed.stdout
        assert (hub.repo, hub.visibility, hub.token) == ("owner/name", "private", "Bearer hf_test")
        assert hub.tags == {"latest_version": hub.head, "0.2.0": hub.head}
        again = execute("monai_tunevlseg", "push", bundle, "owner/name")
        assert again.returncode == 1 and "0.2.0" in again.stderr and "Traceback" not in again.stderr
        options = ("--name", bundle.name, "--source", "huggingface_hub", "--repo", "owner/name", "--version", "0.2.0")
        downloaded = execute("monai.bundle", "download", *options, "--bundle_dir", tmp_path / "downloaded")
        assert downloaded.returncode == 0, downloaded.stderr + downloaded.stdout
    copy = tmp_path / "downloaded" / bundle.name
    for path in bundle.rglob("*"):
        if path.is_file():
            assert (copy / path.relative_to(bundle)).read_bytes() == path.read_bytes()
    assert (copy / "README.md").read_text() == prepare_upload(bundle, "owner/name").card
