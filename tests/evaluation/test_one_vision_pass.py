"""Real networks, made tiny, evaluated by their bundles."""

import csv
import json

import numpy as np
import pytest
import torch
from color_network import BUNDLES
from monai.bundle import ConfigWorkflow
from monai.metrics import compute_dice
from PIL import Image

NAMES = [f"class {number}" for number in range(19)]


@pytest.fixture(scope="module")
def street(tmp_path_factory):
    """Three pictures of different sizes: two with all 19 classes, one with 3 of them."""
    folder = tmp_path_factory.mktemp("street")
    rng = np.random.default_rng(0)
    for name, (height, width), count in (("a", (60, 95), 19), ("b", (80, 57), 19), ("c", (40, 40), 3)):
        labels = np.broadcast_to(np.arange(width) * count // width + 1, (height, width)).astype(np.uint8)
        for sub, pixels in (("images", rng.integers(0, 255, (height, width, 3), dtype=np.uint8)), ("masks", labels)):
            (folder / sub).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(folder / sub / f"{name}.png")
    (folder / "splits.json").write_text(json.dumps({"train": ["c"], "val": ["c"], "test": ["a", "b", "c"]}))
    return folder


TOLERANCE = {"fp32": 0.05, "bf16": 3.0}
"""Points of Dice between a pair alone and among others. Kernels add up in another order for another batch: float32
agrees to 1e-6, while bfloat16 moves logits by 1 % (and differs from float32 by 3 %), which takes a few pixels of a
random network's, whose logits are all near 0, to the other side."""


@pytest.mark.filterwarnings("ignore:the splits")
@pytest.mark.parametrize("method", ["coop", "cocoop", "null"])
@pytest.mark.parametrize("model", ["clipseg", "cris"])
def test_an_image_of_19_classes_goes_through_the_vision_encoder_once(
    model, method, street, run_precision, request, tmp_path
):
    config = BUNDLES / f"{model}_{method if method != 'null' else 'coop'}" / "configs" / "evaluate.yaml"
    arguments = {
        "dataset_dir": str(street),
        "class_names": NAMES,
        "pretrained": str(request.getfixturevalue(f"tiny_{model}_dir")),
        "prompt_depth": 2,
        "output_dir": str(tmp_path / "eval"),
        "ckpt_path": str(tmp_path / "model.pt"),
        "num_workers": 0,
        "device": "cpu",
        "precision": run_precision,
        "bootstrap_resamples": 50,
    }
    if method == "null":
        arguments |= {"method": "null", "upsampler": False}
    workflow = ConfigWorkflow(str(config), workflow_type="infer", logging_file=False, **arguments)
    workflow.initialize()
    network = workflow.network_def
    torch.save(network.state_dict(), tmp_path / "model.pt")
    encode, images = network.encode_image, []

    def count(image, *more):
        images.append(len(image))
        return encode(image, *more)

    network.encode_image = count
    workflow.run()
    assert images == [1, 1, 1]  # 41 pairs
    with (tmp_path / "eval" / "pairs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    expected = [(stem, name) for stem, count in (("a", 19), ("b", 19), ("c", 3)) for name in NAMES[:count]]
    assert [(row["image"].split("/")[1][0], row["class_name"]) for row in rows] == expected

    group = workflow.evaluator.data_loader.dataset[1]
    for index in (0, 7, 18):  # as if each pair were evaluated alone
        with torch.inference_mode():
            logits = network(torch.as_tensor(group["image"])[None], [NAMES[index]])
        score = 100 * compute_dice((logits > 0).float(), group["label"][None, index : index + 1], ignore_empty=False)
        assert float(rows[19 + index]["dice"]) == pytest.approx(score.item(), abs=TOLERANCE[run_precision])
