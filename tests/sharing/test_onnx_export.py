"""ONNX files give the network's logits in onnxruntime, and have the texts folded in and LoRA merged."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from shared_names import NAME, ROOT
from tiny_methods import tiny_arguments
from typer.testing import CliRunner

from monai_tunevlseg.__main__ import app
from monai_tunevlseg.calibration import read_calibration
from monai_tunevlseg.methods import METHODS
from monai_tunevlseg.networks import VLSMS
from monai_tunevlseg.sharing import onnx_export
from monai_tunevlseg.sharing.onnx_export import convert_to_onnx

COMBINATIONS = [
    (model, method, {"nhead": 4, "dim_feedforward": 32} if method == "shared_attention" else {})
    for model in VLSMS
    for method in METHODS
    if VLSMS[model].no_visual_prompts is None or not METHODS[method].prompts_vision
] + [
    ("clipseg", "vlsm_adapter", {"placement": "shallow"}),
    ("cris", "vlsm_adapter", {"placement": "shallow", "adapted_parts": ["condition"]}),
    ("clipseg", "lora", {"adapted_parts": ["vision", "text", "decoder"], "lora_mlp": True}),
    ("cris", "lora", {"adapted_parts": ["text", "decoder"], "lora_mlp": True}),
]


@pytest.fixture
def build(request):
    """Build a network with random trained parameters, and return it with its base model."""

    def get(model, method, arguments):
        base = request.getfixturevalue(f"tiny_{model}")
        torch.manual_seed(0)
        network = VLSMS[model](base, ["polyp", "red lesion"], method, tiny_arguments(method) | arguments).eval()
        with torch.no_grad():
            for parameter in network.parameters():
                if parameter.requires_grad:
                    parameter += 0.05 * torch.randn_like(parameter)
        return network, base

    return get


@pytest.mark.parametrize(("model", "method", "arguments"), COMBINATIONS)
def test_every_combination_runs_in_onnxruntime_for_any_batch(model, method, arguments, build):
    network, base = build(model, method, arguments)
    size = base.image_size
    content = convert_to_onnx(network, torch.rand(1, 3, size, size))
    session, images = onnxruntime.InferenceSession(content), torch.rand(3, 3, size, size)
    with torch.no_grad():
        wanted = network(images)
    found = torch.from_numpy(session.run(None, {"image": images.numpy()})[0])
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-4)
    assert has_token_embeddings(content, len(base.tokenizer)) == METHODS[method].image_conditioned


def products(network, image):
    """Return the number of matrix products in the ONNX file of a network."""
    graph = onnx.load_from_string(convert_to_onnx(network, image)).graph
    return sum(node.op_type in ("MatMul", "Gemm") for node in graph.node)


@pytest.mark.parametrize("model", list(VLSMS))
def test_lora_adds_no_products(model, build, monkeypatch):
    network, base = build(model, "lora", {"adapted_parts": ["decoder"], "lora_mlp": True})
    image = torch.rand(1, 3, base.image_size, base.image_size)
    plain = products(VLSMS[model](base, network.class_names).eval(), image)
    assert products(network, image) == plain
    monkeypatch.setattr(type(network), "merged", lambda self: self)
    assert products(network, image) > plain


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
    fitted = read_calibration(shared[0] / NAME / "models" / "model.pt").classes["lesion"]
    assert properties["thresholds"] == f"[{fitted.threshold}]"
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 1 and target.name in again.output.replace("\n", "")


def test_the_graph_holds_the_temperatures_unless_they_are_off(shared, tmp_path):
    images, logits = torch.rand(2, 3, 96, 96), {}
    for option in ("auto", "off"):
        target = tmp_path / f"{option}.onnx"
        arguments = ["export-onnx", str(shared[0] / NAME), str(target), "--calibration", option]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
        logits[option] = onnxruntime.InferenceSession(target).run(None, {"image": images.numpy()})[0]
    fitted = read_calibration(shared[0] / NAME / "models" / "model.pt").classes["lesion"]
    np.testing.assert_allclose(logits["auto"], logits["off"] / fitted.temperature, atol=1e-4)
    assert abs(logits["auto"] - logits["off"]).max() > 0.01
    properties = {item.key: item.value for item in onnx.load(tmp_path / "off.onnx").metadata_props}
    assert properties["thresholds"] == "[0.5]"
    wrong = CliRunner().invoke(
        app, ["export-onnx", str(shared[0] / NAME), str(tmp_path / "on.onnx")] + ["--calibration", "on"]
    )
    assert wrong.exit_code == 1 and "calibration" in wrong.output


@pytest.mark.parametrize("model", list(VLSMS))
def test_weights_that_do_not_fit_into_a_file_are_refused(model, build, monkeypatch):
    folded, base = build(model, "coop", {})
    whole, _ = build(model, "cocoop", {})
    sizes = [weight_bytes(each, torch.rand(1, 3, base.image_size, base.image_size)) for each in (folded, whole)]
    monkeypatch.setattr(onnx_export, "MAX_BYTES", sum(sizes) // 2)
    onnx_export._check_size(folded)
    with pytest.raises(ValueError, match=type(whole).__name__):
        onnx_export._check_size(whole)


def weight_bytes(network, image):
    """Return the bytes of all tensors in the ONNX file of a network."""
    graph = onnx.load_from_string(convert_to_onnx(network, image)).graph
    constants = [node.attribute[0].t for node in graph.node if node.op_type == "Constant"]
    return sum(len(tensor.raw_data) for tensor in [*graph.initializer, *constants])


def test_a_folder_without_a_bundle_is_refused(tmp_path):
    result = CliRunner().invoke(app, ["export-onnx", str(ROOT), str(tmp_path / "model.onnx")])
    assert result.exit_code == 1 and "inference.yaml" in result.output
