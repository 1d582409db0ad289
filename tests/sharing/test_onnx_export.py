"""ONNX files give the network's logits in onnxruntime, and have the texts folded in."""

import onnx
import onnxruntime
import pytest
import torch
from shared_names import NAME, ROOT
from typer.testing import CliRunner

from monai_tunevlseg.__main__ import app
from monai_tunevlseg.methods import METHODS
from monai_tunevlseg.networks import PromptTunedCLIPSeg, PromptTunedCRIS
from monai_tunevlseg.sharing.onnx_export import convert_to_onnx

COMBINATIONS = [("clipseg", method) for method in METHODS] + [
    ("cris", method) for method in METHODS if not METHODS[method].prompts_vision
]


@pytest.mark.parametrize(("model", "method"), COMBINATIONS)
def test_every_combination_runs_in_onnxruntime_for_any_batch(model, method, tiny_clipseg, tiny_cris):
    base, kind = {"clipseg": (tiny_clipseg, PromptTunedCLIPSeg), "cris": (tiny_cris, PromptTunedCRIS)}[model]
    torch.manual_seed(0)
    arguments = {"nhead": 4, "dim_feedforward": 32} if method == "shared_attention" else {}
    network = kind(base, ["polyp", "red lesion"], method, {"prompt_depth": 2, **arguments}).eval()
    size = base.image_size
    content = convert_to_onnx(network, torch.rand(1, 3, size, size))
    session, images = onnxruntime.InferenceSession(content), torch.rand(3, 3, size, size)
    with torch.no_grad():
        wanted = network(images)
    found = torch.from_numpy(session.run(None, {"image": images.numpy()})[0])
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-3)
    assert has_token_embeddings(content, len(base.tokenizer)) == METHODS[method].image_conditioned


def has_token_embeddings(content, vocabulary_size):
    """Return whether the file holds the token embeddings of a text encoder."""
    graph = onnx.load_from_string(content).graph
    constants = [node.attribute[0].t for node in graph.node if node.op_type == "Constant"]
    return any(list(tensor.dims)[:1] == [vocabulary_size] for tensor in [*graph.initializer, *constants])


def test_the_command_writes_a_file_and_compares_it(shared, tmp_path):
    target = tmp_path / "model.onnx"
    arguments = ["export-onnx", str(shared[0] / NAME), str(target)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0 and target.name in result.output.replace("\n", "")
    properties = {item.key: item.value for item in onnx.load(target).metadata_props}
    assert properties["class_names"] == '["lesion"]' and properties["image_size"] == "96"
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 1 and target.name in again.output.replace("\n", "")


def test_a_folder_without_a_bundle_is_refused(tmp_path):
    result = CliRunner().invoke(app, ["export-onnx", str(ROOT), str(tmp_path / "model.onnx")])
    assert result.exit_code == 1 and "inference.yaml" in result.output
