"""``--precision`` of a bundle's run."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from monai.bundle import ckpt_export
from small_runs import BUNDLES, CONFIGS, raises_inside, run, workflow
from tiny_methods import is_adapter

from monai_tunevlseg.bundles import bundle_names

ADAPTED = [name for name in bundle_names(CONFIGS) if is_adapter(name.partition("_")[2])]


@pytest.mark.parametrize("name", ["clipseg_vpt", "cris_coop", *ADAPTED])
def test_what_was_trained_in_bf16_is_used_in_fp32(name, small, small_train):
    trained = run(name, "train", **small_train | {"precision": "bf16"}).parser.get_parsed_content("network")
    assert torch.bfloat16 in {parameter.dtype for parameter in trained.base.parameters()}
    used = run(name, "inference", **small | {"precision": "fp32"}).parser.get_parsed_content("network")
    assert {parameter.dtype for parameter in used.base.parameters()} == {torch.float32}
    state = used.state_dict()
    assert all(torch.equal(state[name], value) for name, value in trained.state_dict().items())


def test_automatic_mixed_precision_is_refused_where_there_is_no_cuda(small_train):
    with raises_inside(ValueError, "precision 'fp16-amp' needs CUDA"):
        workflow("clipseg_vpt", "train", "train", **small_train | {"precision": "fp16-amp"}).run()


@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_features_are_kept_in_bfloat16_too(kind, small_train):
    made = run("clipseg_coop", "train", **small_train | {"precision": "bf16"}, feature_cache=kind)
    assert made.parser.get_parsed_content("network").method.context.isfinite().all()


@pytest.mark.parametrize("wanted", [True, False])
def test_layers_are_compiled_where_asked_for(wanted, small):
    network = workflow("clipseg_vpt", "inference", **small, compile=wanted).parser.get_parsed_content("network")
    compiled = [layer._compiled_call_impl is not None for layer in network.base.decoder.layers]
    assert compiled == [wanted] * len(compiled)


@pytest.mark.parametrize(
    ("name", "precision"),
    [*product(["clipseg_vpt", "cris_coop"], ["bf16", "auto"]), *((name, "bf16") for name in ADAPTED)],
)
def test_an_exported_network_is_in_float32_on_every_machine(name, precision, small, tmp_path):
    made = workflow(name, "inference", **small | {"precision": precision})
    network = made.parser.get_parsed_content("network_def")
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.randn_like(parameter)
    (tmp_path / "models").mkdir()
    torch.save(network.state_dict(), tmp_path / "models" / "model.pt")
    ckpt_export(
        net_id="network_def",
        filepath=str(tmp_path / "model.ts"),
        ckpt_file=str(tmp_path / "models" / "model.pt"),
        meta_file=str(BUNDLES / name / "configs" / "metadata.json"),
        config_file=str(BUNDLES / name / "configs" / "inference.yaml"),
        use_trace=True,
        input_shape=[1, 3, 64, 64],
        **small | {"precision": precision},
    )
    exported = torch.jit.load(tmp_path / "model.ts")
    assert {value.dtype for value in exported.state_dict().values() if value.is_floating_point()} == {torch.float32}
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(exported(image), network.eval()(image), rtol=1e-4, atol=1e-4)
