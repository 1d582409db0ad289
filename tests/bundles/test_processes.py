"""Training in two processes equals training in one on the same global batches."""

import json
import os
import shlex
import subprocess
import sys

import pytest
import torch
from documentation import lines
from small_runs import BUNDLES, run

# of the last layer of a vision encoder, context is not needed by the decoder, so it gets no gradient
EVERY_LAYER = ("clipseg_vpt", {"prompt_depth": 5})
ADAPTED = ("clipseg_telescopic_adapter", {"dropout": 0.0, "adapter_dim": 24, "adapted_layers": 2})
CACHED = (
    "clipseg_coop",
    {"feature_cache": "disk", "num_views": 2, "learning_rate": 0.02, "negative_texts": 2, "negative_source": "pool"},
)
# a small step, because in float32 the presence of a random SAM 3 amplifies the rounding errors of large ones
SCORED = ("sam3_coop", {"presence_weight": 1, "learning_rate": 0.002, "augmentation_probability": 0})


def run_in_two_processes(overrides, bundle):
    """Run a bundle's training with the documented command, on its own port."""
    (line,) = lines("torchrun")
    program, *words = shlex.split(line.replace("bundles/clipseg_vpt", str(BUNDLES / bundle)))
    assert program == "torchrun"
    overridden = [argument for key, value in overrides.items() for argument in (f"--{key}", str(value))]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", *words, *overridden]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    finished = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert finished.returncode == 0, finished.stderr[-4000:]
    return finished.stdout


@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="this PyTorch has no gloo")
@pytest.mark.parametrize(("name", "own"), [EVERY_LAYER, ADAPTED, CACHED, SCORED])
def test_two_processes_reach_the_loss_and_weights_of_one(name, own, small_train, tmp_path):
    # plain gradient descent, because AdamW turns a rounding error in a gradient near 0 into a step of full length
    descent = {"optimizer#_target_": "torch.optim.SGD", "learning_rate": 0.5, "precision": "fp32"}
    overrides = small_train | descent | own | {"epochs": 2, "effective_batch_size": 4, "class_names": "square"}
    del overrides["device"]
    one, two = tmp_path / "one", tmp_path / "two"
    single = run(name, "train", **overrides | {"bundle_root": str(one)})
    assert single.parser.get_parsed_content("accumulation_steps") == 1

    halves = {"bundle_root": str(two), "batch_size": overrides["batch_size"] // 2}
    log = run_in_two_processes(overrides | halves, name)

    left, right = (torch.load(folder / "models" / "last.pt", weights_only=True) for folder in (one, two))
    for name, value in left["model"].items():
        torch.testing.assert_close(right["model"][name], value, rtol=1e-4, atol=1e-5)
    assert right["best_metric"] == pytest.approx(left["best_metric"], abs=1e-4)
    loss = single.evaluator.state.metrics["val_loss"]
    assert right["early_stopping"]["best"] == pytest.approx(loss, abs=1e-5)
    assert log.count("Epoch[2] Metrics") == 1, "only one process may report"
    assert json.loads((two / "eval" / "splits.json").read_text())
    ours, theirs = (json.loads((folder / "models" / "calibration.json").read_text()) for folder in (one, two))
    assert theirs["classes"]["square"] == pytest.approx(ours["classes"]["square"], rel=1e-3)
    assert theirs["classes"]["square"]["pairs"] == 2
    weights = [found["presence"].pop("weights") for found in (theirs, ours)]
    assert weights[0] == pytest.approx(weights[1], rel=0.02, abs=0.02)
    assert theirs["presence"] == pytest.approx(ours["presence"], rel=0.02, abs=0.02)
    assert (theirs["presence"]["present"], theirs["presence"]["absent"]) == (2, 6)
    assert len(list((two / "eval").glob("events.*"))) == 1
