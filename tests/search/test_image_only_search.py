"""A search of a network without a base model: its space has no sizes to follow, and each trial trains from scratch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from monai_tunevlseg.search import SearchSettings, run_search
from monai_tunevlseg.search.search_space import read_search_space

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {"configs_dir": ROOT / "configs", "bundles_dir": ROOT / "bundles"}
EXPERIMENT = "ultrasound/unet_scratch"
FIXED = {"epochs": 1, "device": "cpu", "class_names": ["square"], "image_size": 64, "channels": [4, 6, 8]}


def test_a_trial_trains_from_scratch_and_the_plan_names_no_base_model(pictures, tmp_path):
    result = run_search(EXPERIMENT, pictures, tmp_path, SearchSettings(n_trials=1, fixed=FIXED), **FOLDERS)
    assert [trial.state for trial in result.trials] == ["COMPLETE"]
    assert result.plan["base"] is None and set(result.plan["space"]) == {"learning_rate", "weight_decay"}
    assert 1e-4 <= result.best.params["learning_rate"] <= 1e-2
    assert result.metrics["network"]["settings"]["channels"] == [4, 6, 8]
    state = torch.load(Path(result.best.folder) / "models" / "model.pt", weights_only=True)
    assert result.metrics["network"]["trained_parameters"] == sum(
        value.numel() for name, value in state.items() if name != "_extra_state"
    )


def test_the_feature_cache_is_refused_before_the_first_trial(pictures, tmp_path):
    settings = SearchSettings(n_trials=1, fixed=FIXED | {"feature_cache": "disk"})
    with pytest.raises(ValueError, match="UNet.*feature_cache"):
        run_search(EXPERIMENT, pictures, tmp_path, settings, **FOLDERS)


@pytest.mark.parametrize(
    "line", ["{low: 1, high: 8, below: num_layers}", "{choices: [1, 2], scales_with: text_dim, at: 512}"]
)
def test_sizes_of_a_base_model_are_refused_without_one(line, tmp_path):
    (tmp_path / "search").mkdir()
    (tmp_path / "search" / "common.yaml").write_text(f"depth: {line}\n")
    with pytest.raises(ValueError, match="depth.*(num_layers|text_dim)"):
        read_search_space(tmp_path, "scratch", ["depth"], None)
