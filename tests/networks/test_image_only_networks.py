"""The contract of networks without a text encoder: a text chooses a channel, and checkpoints hold all weights."""

from __future__ import annotations

import json
import shutil
import warnings
from typing import get_args

import pytest
import torch
from monai.data import MetaTensor
from monai.networks.nets import AttentionUnet, DynUNet, FlexibleUNet
from monai.networks.utils import convert_to_torchscript, copy_model_state
from safetensors.torch import load_file, save_file

from monai_tunevlseg.methods import METHODS
from monai_tunevlseg.networks import IMAGE_ONLY_NETWORKS, VLSMS, UNet, compile_layers
from monai_tunevlseg.networks.unet import Backbone
from monai_tunevlseg.training import PairDiceCELoss, parameter_groups

CLASS_NAMES = ["polyp", "red circle", "lesion"]
SIZE = 64
SMALL = [4, 6, 8, 8, 10]

CASES = {
    "flexible": (UNet, {"backbone": "resnet10", "channels": SMALL}),
    "efficientnet": (UNet, {"channels": SMALL}),
    "attention": (UNet, {"architecture": "attention", "channels": SMALL}),
    "dynunet": (UNet, {"architecture": "dynunet", "channels": SMALL}),
}
"""Each image-only network with each of its architectures."""

every_case = pytest.mark.parametrize("case", CASES)


def build(case: str, class_names: list[str] = CLASS_NAMES, seed: int = 0, **arguments):
    torch.manual_seed(seed)
    network, settings = CASES[case]
    return network(class_names, **settings | arguments)


def images(count: int = 2, height: int = SIZE, width: int = SIZE) -> torch.Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(3))


def train_a_step(network, image) -> None:
    optimizer = torch.optim.AdamW(parameter_groups(network, 0.1), lr=0.01)
    network.train()(image).square().mean().backward()
    optimizer.step()


def identity_of(state) -> dict:
    return json.loads(bytes(state["_extra_state"].tolist()))


def test_every_registered_network_has_a_case():
    assert {network for network, _ in CASES.values()} == {IMAGE_ONLY_NETWORKS[name] for name in IMAGE_ONLY_NETWORKS}
    assert not set(IMAGE_ONLY_NETWORKS) & set(VLSMS)


@every_case
def test_a_text_chooses_the_channel_of_its_class(case):
    network, image = build(case).eval(), images(2, SIZE, 2 * SIZE)
    with torch.no_grad():
        all_classes = network(image)
        assert all_classes.shape == (2, 3, SIZE, 2 * SIZE)
        torch.testing.assert_close(all_classes, network.model(image))
        rows = network(image, [["lesion", "polyp"], ["red circle", "lesion"]])
        single = network(image, ("red circle", "polyp"))
        permuted = network(image, [["lesion", "polyp", "red circle"], CLASS_NAMES])
    assert torch.equal(rows, torch.stack([all_classes[0, [2, 0]], all_classes[1, [1, 2]]]))
    assert torch.equal(single, torch.stack([all_classes[0, [1]], all_classes[1, [0]]]))
    assert torch.equal(permuted, torch.stack([all_classes[0, [2, 0, 1]], all_classes[1]]))


@every_case
def test_another_text_is_refused_with_the_class_names(case):
    with pytest.raises(ValueError, match="'polyps'.* polyp, red circle, lesion.*UNet"):
        build(case)(images(), ["polyp", "polyps"])


@every_case
@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 1, 64, 64), (1, 3, 64, 64, 64)])
def test_images_of_another_kind_are_refused(case, shape):
    with pytest.raises(ValueError, match=r"\(B, 3, H, W\)"):
        build(case)(torch.zeros(shape))


@every_case
def test_sizes_that_the_network_cannot_halve_are_refused(case):
    network = build(case)
    assert network.divisor == (16 if case in ("attention", "dynunet") else 32)
    with pytest.raises(ValueError, match=rf"64x72\b.*\b{network.divisor}\b"):
        network(images(1, 64, 72))
    with pytest.raises(ValueError, match=rf"{network.divisor}x{network.divisor}\b.*\b{2 * network.divisor}\b"):
        network(images(1, network.divisor, network.divisor))
    train_a_step(network, images(1, network.divisor, 2 * network.divisor))


@every_case
def test_every_parameter_trains_and_decays_where_it_should(case):
    network = build(case)
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    train_a_step(network, images())
    for name, parameter in network.named_parameters():
        assert parameter.requires_grad and parameter.grad is not None, name  # several processes wait for each gradient
        assert not torch.equal(parameter, before[name]) or not parameter.grad.any(), name
    decaying, *_ = parameter_groups(network, 0.1)
    assert len(decaying["params"]) == sum(
        isinstance(module, torch.nn.modules.conv._ConvNd | torch.nn.Linear) for module in network.modules()
    )


@every_case
def test_training_learns_to_find_a_square(case):
    torch.manual_seed(0)
    network = build(case, ["square", "background"]).train()
    mask = torch.zeros(8, 1, SIZE, SIZE)
    for row in range(8):
        mask[row, :, 4 * row : 4 * row + 24, 8:40] = 1
    image = torch.randn(8, 3, SIZE, SIZE) * 0.3 + mask
    mask[1::2] = 1 - mask[1::2]
    optimizer, loss = torch.optim.AdamW(network.parameters(), lr=1e-2), PairDiceCELoss()
    for _ in range(20):
        logits = network(image, ["square", "background"] * 4)
        optimizer.zero_grad()
        loss(logits, mask).backward()
        optimizer.step()
    assert ((logits > 0) == (mask > 0)).float().mean() > 0.9


@every_case
def test_the_seed_decides_the_initial_weights(case):
    first, same, other = (build(case, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@every_case
def test_a_checkpoint_holds_every_weight_once_and_fits_a_network_like_it(case, tmp_path):
    network, other = build(case), build(case, seed=1)
    train_a_step(network, images())  # batch norms differ from their initial state, too
    state = network.state_dict()
    tensors = [*network.parameters(), *network.buffers()]
    assert len(state) == len(tensors) + 1 and sum(v.numel() for v in tensors) == sum(
        value.numel() for name, value in state.items() if name != "_extra_state"
    )
    save_file(state, tmp_path / "model.safetensors")
    report = other.load_state_dict(load_file(tmp_path / "model.safetensors"), strict=True)
    assert report.missing_keys == report.unexpected_keys == []
    with torch.no_grad():
        assert torch.equal(other.eval()(images()), network.eval()(images()))
    identity = identity_of(state)
    assert (identity["network"], identity["class_names"], identity["unfreeze"]) == ("UNet", CLASS_NAMES, "all")
    assert identity["settings"] == network.settings()


@every_case
@pytest.mark.parametrize("through", ["load_state_dict", "copy_model_state"])
@pytest.mark.parametrize("names", [["polyp", "lesion", "red circle"], ["polyp", "red circle"]])
def test_other_class_names_or_another_order_are_refused_with_both_lists(case, through, names):
    network, state = build(case), build(case, names, seed=1).state_dict()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(ValueError) as raised:
        network.load_state_dict(state) if through == "load_state_dict" else copy_model_state(network, state)
    assert repr(names) in str(raised.value) and repr(CLASS_NAMES) in str(raised.value)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("theirs", "ours", "named"),
    [
        ("attention", "dynunet", "architecture 'attention'.*'dynunet'"),
        ("efficientnet", "flexible", "backbone 'efficientnet-b0'.*'resnet10'"),
    ],
)
def test_another_architecture_is_refused_by_name(theirs, ours, named):
    with pytest.raises(ValueError, match=named):
        build(ours).load_state_dict(build(theirs).state_dict())


@every_case
def test_other_channels_are_refused_with_both(case):
    with pytest.raises(ValueError, match=r"channels \[4, 6, 8, 8, 10\].*\[4, 6, 8, 8, 12\]"):
        build(case, channels=[4, 6, 8, 8, 12]).load_state_dict(build(case).state_dict())


def test_the_backbone_of_an_architecture_without_one_may_differ():
    build("attention").load_state_dict(build("attention", backbone="resnet50").state_dict())


@every_case
def test_weights_without_an_identity_or_with_another_form_are_refused(case):
    network = build(case)
    state = network.state_dict()
    with pytest.raises(RuntimeError, match="_extra_state"):
        network.load_state_dict({name: value for name, value in state.items() if name != "_extra_state"})
    with pytest.raises(RuntimeError, match="more"):
        network.load_state_dict(state | {"more": torch.zeros(1)})
    with pytest.raises(ValueError, match="_extra_state"):
        network.load_state_dict(state | {"_extra_state": torch.zeros(3, dtype=torch.uint8)})


@every_case
@pytest.mark.parametrize("method", METHODS)
def test_methods_are_refused_by_network_and_method(case, method):
    with pytest.raises(ValueError, match=f"'{method}'.*UNet"):
        build(case, method=method)


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ({"unfreeze": None}, "unfreeze.*UNet"),
        ({"unfreeze": "decoder"}, "'decoder'"),
        ({"upsampler": True}, "upsampler.*UNet"),
    ],
)
def test_options_for_a_base_model_are_refused(option, named):
    with pytest.raises(ValueError, match=named):
        build("attention", **option)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"architecture": "unetr"}, "'unetr'.*flexible, attention, dynunet"),
        ({"backbone": "vgg"}, "'vgg'.*resnet50"),
        ({"channels": [8, 16]}, r"\[8, 16\]"),
        ({"channels": [8, 16, 0]}, r"\[8, 16, 0\]"),
        ({"architecture": "flexible", "channels": [8, 16, 32]}, r"\[8, 16, 32\].*5.*'flexible'"),
        ({"class_names": ["a", "b", "a"]}, "'a'"),
        ({"class_names": []}, "class_names"),
    ],
)
def test_wrong_arguments_are_refused_with_the_known_ones(arguments, named):
    with pytest.raises(ValueError, match=named):
        build("attention", **arguments)


def test_the_architectures_are_monais():
    assert isinstance(build("flexible").model, FlexibleUNet)
    assert isinstance(build("attention").model, AttentionUnet)
    assert isinstance(build("dynunet").model, DynUNet)
    reference = DynUNet(2, 3, 3, [3] * 5, [1, 2, 2, 2, 2], [2] * 4, filters=SMALL).eval()
    network = build("dynunet").eval()
    reference.load_state_dict(network.model.state_dict(), strict=False)
    assert torch.equal(network.model(images()), reference(images()))


@pytest.mark.parametrize("backbone", get_args(Backbone))
def test_all_of_a_backbone_is_used(backbone):
    network = build("efficientnet", backbone=backbone)
    network(images()).mean().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_the_default_has_the_parameters_of_its_layers():
    """Counted from the architecture: EfficientNet-B0 without its classifier, and the decoder's convolutions."""
    network = UNet(["polyp"])
    efficientnet, classifier = 5_288_548, 1280 * 1000 + 1000 + 320 * 1280 + 2 * 1280
    decoder, below = 0, 320
    for width, skipped in ((256, 112), (128, 40), (64, 24), (32, 16), (16, 0)):
        halved = below // 2 if skipped else below  # by a 1x1 convolution with bias before the upsampling
        decoder += below * halved + halved if skipped else 0
        decoder += 9 * width * (halved + skipped + width) + 4 * width  # two 3x3 convolutions and their batch norms
        below = width
    head = 9 * 16 + 1
    assert sum(parameter.numel() for parameter in network.parameters()) == efficientnet - classifier + decoder + head


@every_case
def test_nothing_is_downloaded(case, monkeypatch):
    def refuse(*arguments, **settings):
        raise AssertionError("a download")

    monkeypatch.setattr("socket.socket.connect", refuse)
    build(case)


@every_case
@pytest.mark.parametrize("use_trace", [True, False])
def test_a_torchscript_takes_any_batch_and_checks_the_size(case, use_trace, tmp_path):
    network = build(case)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer points out every constant
        convert_to_torchscript(network, tmp_path / "model.ts", inputs=[images(1)], use_trace=use_trace)
    traced = torch.jit.load(tmp_path / "model.ts")
    with torch.no_grad():
        torch.testing.assert_close(traced(images(3)), network(images(3)), rtol=1e-4, atol=1e-5)
        with pytest.raises(torch.jit.Error, match="72x72"):
            traced(images(1, 72, 72))


@every_case
def test_monai_tensors_keep_their_meta_data(case):
    logits = build(case).eval()(MetaTensor(images(), meta={"filename_or_obj": "a.png"}))
    assert isinstance(logits, MetaTensor) and logits.meta["filename_or_obj"] == "a.png"


@every_case
@pytest.mark.parametrize("precision", ["bf16", "fp16-amp", "fp32"])
def test_all_parameters_stay_in_float32_in_every_precision(case, precision):
    network = build(case)
    assert network.compute_in(precision) is network
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    train_a_step(network, images())
    with torch.autocast("cpu", torch.bfloat16):
        assert network(images()).dtype == torch.float32


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="'fp7'"):
        build("attention").compute_in("fp7")


@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
def test_the_whole_model_is_compiled_and_checkpoints_fit_it():
    settings = {"channels": [2, 3, 4]}
    plain, compiled = build("dynunet", **settings).eval(), compile_layers(build("dynunet", seed=1, **settings)).eval()
    assert compiled.model._compiled_call_impl is not None
    compiled.load_state_dict(plain.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(compiled(images()), plain(images()), rtol=1e-3, atol=1e-4)
