"""The contract of every network with every method: texts, frozen parameters, and the cost of a forward pass."""

from __future__ import annotations

import copy
import re
import warnings

import pytest
import torch
from monai.data import MetaTensor, decollate_batch
from monai.networks.utils import convert_to_torchscript
from network_cases import (
    CASES,
    every_combination,
    every_combination_and_zero_shot,
    every_network,
    every_prompt_learner,
    every_prompt_learner_and_zero_shot,
)
from tiny_methods import tiny_arguments

from monai_tunevlseg.methods import METHODS, PromptLearner
from monai_tunevlseg.networks import VLSMS, ImageFeatures
from monai_tunevlseg.networks.traced_devices import nodes_of

DEPTH = 3


def counted(network, monkeypatch, method: str) -> list[int]:
    """Collect the number of rows of each call of a method whose first argument is a tensor, or a tuple of tensors."""
    rows: list[int] = []
    original = getattr(network, method)

    def counting(first, *arguments):
        rows.append(len(first[0] if isinstance(first, tuple) else first))
        return original(first, *arguments)

    monkeypatch.setattr(network, method, counting)
    return rows


def assert_near(actual: torch.Tensor, expected: torch.Tensor, tolerance: float = 1e-4) -> None:
    """Compare relative to the largest value, because logits near zero are rounded as coarsely as the others."""
    assert actual.shape == expected.shape
    assert (actual - expected).abs().max() < tolerance * expected.abs().max()


def constant_of(node) -> object:
    """The value of a constant in a graph of TorchScript; None for other nodes."""
    return node.output().toIValue() if node.kind() == "prim::Constant" else None


def train_a_step(network, image) -> None:
    torch.manual_seed(5)
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=0.01, weight_decay=0.1)
    network(image).square().mean().backward()
    optimizer.step()


def test_every_registered_vlsm_has_a_case():
    missing = set(VLSMS) - {case.vlsm for case in CASES}
    assert not missing, f"add a case for {sorted(missing)} to CASES in tests/networks/network_cases.py"


@every_combination_and_zero_shot
@pytest.mark.parametrize("upsampler", [True, False])
def test_logits_have_one_channel_a_text_and_the_size_of_the_image(case, method, upsampler, build, pictures):
    network = build(case, method, upsampler, **tiny_arguments(method, DEPTH)).eval()
    image = pictures(case, 2, case.size, case.size + case.divisor)
    with torch.no_grad():
        assert network(image).shape == (2, 3, *image.shape[2:])
        assert network(image, ["polyp", "lesion"]).shape == (2, 1, *image.shape[2:])
        assert network(image, [["polyp", "a"], ["lesion", "polyp"]]).shape == (2, 2, *image.shape[2:])
        assert network(image).isfinite().all()


@every_combination_and_zero_shot
def test_the_three_forms_of_text_agree(case, method, build, pictures):
    network, image = build(case, method, **tiny_arguments(method, DEPTH)).eval(), pictures(case)
    with torch.no_grad():
        all_classes = network(image)
        rows = network(image, [["lesion", "polyp"], ["red circle", "lesion"]])
        single = network(image, ("red circle", "polyp"))
    assert_near(rows[0], all_classes[0, [2, 0]])
    assert_near(rows[1], all_classes[1, [1, 2]])
    assert_near(single[0, 0], all_classes[0, 1])
    assert_near(single[1, 0], all_classes[1, 0])
    assert (all_classes[:, 0] - all_classes[:, 1]).abs().max() > 1e-3


@every_combination_and_zero_shot
def test_an_image_does_not_depend_on_its_batch_or_the_length_of_other_texts(case, method, build, pictures):
    network, image = build(case, method, **tiny_arguments(method, DEPTH)).eval(), pictures(case)
    with torch.no_grad():
        together = network(image, ["polyp", "a very long description of a red circle"])
        alone = network(image[:1], ["polyp"])
    assert_near(together[:1], alone)


@every_combination_and_zero_shot
def test_each_distinct_text_is_encoded_once(case, method, build, pictures, monkeypatch):
    network, image = build(case, method, **tiny_arguments(method, DEPTH)).eval(), pictures(case, 3)
    texts = [["polyp", "red circle"], ["red circle", "polyp"], ["polyp", "polyp"]]
    rows = counted(network, monkeypatch, "encode_text")
    with torch.no_grad():
        network(image, texts)
    assert rows == [6 if method and METHODS[method].image_conditioned else 2]


@every_combination_and_zero_shot
def test_nineteen_classes_take_one_pass_of_the_image(case, method, build, pictures, monkeypatch):
    network = build(case, method, class_names=[f"class {n}" for n in range(19)], **tiny_arguments(method, DEPTH)).eval()
    rows = counted(network, monkeypatch, "encode_image")
    with torch.no_grad():
        assert network(pictures(case, 1)).shape[1] == 19
    assert rows == [1]


@every_combination_and_zero_shot
def test_an_image_may_be_given_by_its_features(case, method, build, pictures):
    network, image = (
        build(case, method, **tiny_arguments(method, DEPTH)).eval(),
        pictures(case, 2, 2 * case.divisor, case.size),
    )
    with torch.no_grad():
        features = network.encode_image(image)
        assert all(len(value) == 2 for value in features.values())
        for text in (None, ["polyp", "lesion"], [["polyp", "cell"], ["lesion", "polyp"]]):
            assert torch.equal(network(features, text), network(image, text))
        swapped = ImageFeatures({name: value.flip(0) for name, value in features.items()})
        assert_near(network(swapped), network(image).flip(0))
    with pytest.raises(ValueError, match=r"\['polyp'\] .*\b2\b"):
        network(features, ["polyp"])


@every_combination_and_zero_shot
def test_text_features_are_kept_where_they_are_constant(case, method, build, pictures, monkeypatch):
    network, image = build(case, method, **tiny_arguments(method, DEPTH)), pictures(case)
    rows = counted(network, monkeypatch, "encode_text")
    for _ in range(3):
        network(image)
    network(image, ["polyp", "cell"])
    if method is None or issubclass(METHODS[method], PromptLearner):
        assert network.trained.text_is_constant == (method is None or not METHODS[method].prompts_text)
    if not network.trained.text_is_constant:
        per_text = 2 if METHODS[method].image_conditioned else 1
        assert rows == [3 * per_text] * 3 + [2]
        assert not network.text_features
    else:
        assert rows == [3, 1]
        assert set(network.text_features) == {"polyp", "red circle", "lesion", "cell"}


@every_combination_and_zero_shot
def test_first_use_in_inference_mode_does_not_spoil_training(case, method, build, pictures):
    network, image = build(case, method, **tiny_arguments(method, DEPTH)), pictures(case)
    with torch.inference_mode():
        network.eval()(image)
    network.train()
    network(image).square().mean().backward()
    assert all(p.grad is not None for p in network.parameters() if p.requires_grad)


@every_combination_and_zero_shot
def test_kept_text_features_follow_the_base_to_another_precision(case, method, build, pictures, base_model_of):
    network = build(case, method, **tiny_arguments(method, DEPTH)).eval()
    image = pictures(case)
    with torch.no_grad():
        single = network(image)
        double = copy.deepcopy(network).double()(image.double())
    assert double.dtype == torch.float64
    assert_near(single, double.float(), 1e-3)
    assert next(base_model_of(case).model.parameters()).dtype == torch.float32


@every_combination
def test_learned_text_context_changes_the_logits_after_a_step(case, method, build, pictures):
    network, image = build(case, method, **tiny_arguments(method, DEPTH)), pictures(case)
    with torch.no_grad():
        before = network.eval()(image)
    train_a_step(network.train(), image)
    with torch.no_grad():
        assert (network.eval()(image) - before).abs().max() > 1e-4


@every_prompt_learner_and_zero_shot
def test_only_method_and_upsampler_train(case, method, build):
    network = build(case, method, **tiny_arguments(method, DEPTH))
    trainable = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert trainable == {name for name, _ in network.named_parameters() if not name.startswith("base.")}
    assert {name.split(".")[0] for name in trainable} == {"upsampler"} | ({"method"} if method else set())


@every_network
def test_without_method_and_upsampler_nothing_trains(case, build):
    assert not any(parameter.requires_grad for parameter in build(case, None, upsampler=False).parameters())


@every_prompt_learner
def test_a_step_moves_what_trains_and_leaves_every_bit_of_the_base(case, method, build, pictures):
    network = build(case, method, **tiny_arguments(method, DEPTH)).train()
    frozen = {name: value.clone() for name, value in network.base.named_parameters()}
    frozen |= {name: value.clone() for name, value in network.base.named_buffers()}
    learned = {name: p.detach().clone() for name, p in network.named_parameters() if p.requires_grad}
    train_a_step(network, pictures(case))
    after = dict(network.base.named_parameters()) | dict(network.base.named_buffers())
    assert all(torch.equal(frozen[name], after[name]) for name in frozen)
    assert frozen.keys() == after.keys()
    for name, parameter in network.named_parameters():
        if name in learned:
            assert parameter.grad is not None, name
            if parameter.grad.any():
                assert not torch.equal(learned[name], parameter), name
    still = [name for name, parameter in network.named_parameters() if name in learned and not parameter.grad.any()]
    # only the bias of a key has no gradient, because it shifts all scores of a row equally
    assert not [name for name in still if not name.endswith("in_proj_bias")]
    assert all(parameter.grad is None for parameter in network.base.parameters())


@every_prompt_learner_and_zero_shot
def test_the_base_stays_in_eval(case, method, build):
    network = build(case, method, **tiny_arguments(method, DEPTH))
    for mode in (network.train(), network.train(True), network.eval(), network.train(False)):
        assert mode is network
        assert not any(module.training for module in network.base.modules())
    network.train()
    own = [m for name, m in network.named_modules() if name and not name.startswith("base")]
    assert all(module.training for module in own)
    network.eval()
    assert not any(module.training for module in network.modules())


@every_prompt_learner_and_zero_shot
def test_layers_before_the_first_learnable_tensor_run_without_autograd(case, method, build, pictures):
    network = build(case, method, upsampler=False, **tiny_arguments(method, DEPTH)).train()
    graphs: set[str] = set()

    def note(name):
        def hook(module, arguments, output):
            outputs = output if isinstance(output, tuple | list) else [output]
            if any(isinstance(value, torch.Tensor) and value.requires_grad for value in outputs):
                graphs.add(name)

        return hook

    handles = [module.register_forward_hook(note(name)) for name, module in network.base.named_modules() if name]
    network(pictures(case))
    for handle in handles:
        handle.remove()
    prompts_text = bool(method) and METHODS[method].prompts_text
    prompts_vision = bool(method) and METHODS[method].prompts_vision
    parts = network.parts
    assert any(name.startswith(parts.text) for name in graphs) == prompts_text
    assert any(name.startswith(parts.vision + parts.early_decoder) for name in graphs) == prompts_vision
    assert bool(graphs) == bool(method)
    assert not [name for name in graphs if name.endswith(("token_embedding", "patch_embedding"))]


@every_combination_and_zero_shot
def test_eval_is_deterministic_and_keeps_nothing(case, method, build, pictures):
    network, image = build(case, method, **tiny_arguments(method, DEPTH)).eval(), pictures(case)
    with torch.no_grad():
        first = network(image)
        network(image.flip(0), ["cell", "disc"])
        assert torch.equal(network(image), first)


@every_combination_and_zero_shot
def test_monai_tensors_give_the_same_logits_and_keep_their_meta_data(case, method, build, pictures):
    network, image = build(case, method, **tiny_arguments(method, DEPTH)), pictures(case)
    batch = MetaTensor(image, meta={"filename_or_obj": ["a.png", "b.png"], "affine": torch.eye(4).repeat(2, 1, 1)})
    batch.is_batch = True
    logits = network.eval()(batch)
    assert isinstance(logits, MetaTensor)
    assert [item.meta["filename_or_obj"] for item in decollate_batch(logits)] == ["a.png", "b.png"]
    assert_near(logits.as_tensor(), network(image))
    logits.mean().backward()
    assert network.upsampler.residual_factor.grad is not None


@every_combination_and_zero_shot
def test_autocast_trains_and_stays_near_full_precision(case, method, build, pictures):
    network, image = build(case, method, **tiny_arguments(method, DEPTH)).eval(), pictures(case)
    exact = network(image).detach()
    with torch.autocast(image.device.type, torch.bfloat16):
        logits = network(image)
    logits.float().square().mean().backward()
    assert_near(logits.float(), exact, 0.05 * max(1, case.rounding))  # autocast leaves no part in float32
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters() if parameter.requires_grad)


@every_combination_and_zero_shot
def test_a_traced_network_takes_any_batch_and_encodes_only_conditioned_texts(case, method, build, pictures, tmp_path):
    network = build(case, method, **tiny_arguments(method, DEPTH))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer points out every constant
        convert_to_torchscript(network, tmp_path / "model.ts", inputs=[pictures(case, 1)], use_trace=True)
    traced = torch.jit.load(tmp_path / "model.ts")
    with torch.no_grad():
        assert_near(traced(pictures(case, 3)), network(pictures(case, 3)))
    looks_up_tokens = "aten::embedding(" in str(traced.inlined_graph)
    assert looks_up_tokens == (bool(method) and METHODS[method].image_conditioned)


@every_combination_and_zero_shot
def test_a_network_exported_on_a_cpu_runs_on_the_device(case, method, build, pictures, device, tmp_path):
    network, image = build(case, method, **tiny_arguments(method, DEPTH)).eval(), pictures(case)
    with torch.no_grad():
        expected = network(image)
    convert_to_torchscript(network.cpu(), tmp_path / "model.ts")
    exported = torch.jit.load(tmp_path / "model.ts", map_location=device)
    assert not [node for node in nodes_of(exported.inlined_graph) if isinstance(constant_of(node), torch.device)]
    with torch.no_grad():
        assert_near(exported(image), expected)


@every_prompt_learner
def test_every_trainable_tensor_takes_part_at_the_deepest_depth(case, method, build, pictures):
    sizes = build(case, None).encoder_sizes()
    kind = METHODS[method]
    depths = [sizes.text_layers] if kind.prompts_text else []
    depths += [sizes.vision_layers] if kind.prompts_vision else []
    network = build(case, method, prompt_depth=min(depths)).train()
    network(pictures(case)).mean().backward()
    idle = [
        name for name, parameter in network.named_parameters() if parameter.requires_grad and parameter.grad is None
    ]
    assert idle == []  # DistributedDataParallel would wait for their gradients


@every_network
def test_several_networks_share_one_base(case, build, base_model_of):
    networks = [build(case, method) for method in case.prompt_learners]
    assert all(network.base is base_model_of(case).model for network in networks)


@every_network
def test_a_depth_beyond_the_shallower_encoder_is_refused(case, build):
    for method in case.prompt_learners:
        with pytest.raises(ValueError, match=r"prompt_depth 99 .*\b1\.\.\d"):
            build(case, method, prompt_depth=99)


@every_network
def test_visual_prompts_that_cannot_be_inserted_are_refused_with_the_reason(case, build):
    reason = case.network.no_visual_prompts
    assert (build(case).encoder_sizes().vision_dim is None) == (reason is not None)
    if reason is None:
        return
    for method in set(METHODS) - set(case.methods):
        with pytest.raises(ValueError, match=reason):
            build(case, method)


@every_network
def test_unknown_methods_and_arguments_are_refused(case, build):
    with pytest.raises(ValueError, match="'copo'.*'coop'"):
        build(case, "copo")
    with pytest.raises(ValueError, match="'coop'.*shared_dim.*num_context"):
        build(case, "coop", shared_dim=3)


@every_network
@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 1, 64, 64), (1, 4, 64, 64), (1, 3, 64, 64, 64)])
def test_images_of_another_kind_are_refused(case, shape, build):
    with pytest.raises(ValueError, match=rf"{re.escape(str(shape))}.*\(B, 3, H, W\)"):
        build(case)(torch.zeros(shape))


@every_network
@pytest.mark.parametrize("axis", [0, 1])
def test_sizes_that_the_network_cannot_cut_are_refused(case, axis, build):
    size = [case.size, case.size]
    size[axis] += 3
    with pytest.raises(ValueError, match=rf"{size[0]}x{size[1]}\b.*\b{case.divisor}\b"):
        build(case)(torch.zeros(1, 3, *size))


@every_network
@pytest.mark.parametrize("method", ["coop", "cocoop"])
def test_the_phrase_of_the_initializer_reaches_the_first_layer(case, method, build):
    network = build(case, method, prompt_depth=2)
    token_ids = [network.tokenizer.convert_tokens_to_ids(f"{word}</w>") for word in ("a", "photo", "of", "a")]
    expected = network.embed_tokens(torch.tensor(token_ids))
    assert torch.equal(network.method.context[0], expected)
    assert network.method.context[1].std() < 3 * 0.02
    gaussian = build(case, method, prompt_depth=2, context_initializer=None).method.context
    assert not torch.isclose(gaussian[0], expected).any()
    assert network.method.context.requires_grad


@every_network
@pytest.mark.parametrize("unfreeze", [None, "decoder", "all"])
def test_the_mode_of_a_step_is_set_without_a_walk_through_what_is_frozen(case, unfreeze, build, monkeypatch):
    network = build(case, "coop", unfreeze=unfreeze)
    walks: list[bool] = []
    for module in network.base.modules():
        monkeypatch.setattr(module, "train", lambda mode=True, own=module.train: walks.append(mode) or own(mode))
    for mode in (True, False, True):
        network.train(mode)
        assert network.training == network.method.training == network.upsampler.training == mode
    assert not walks
    norms = [module for module in network.base.modules() if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)]
    assert not any(norm.training for norm in norms)
    if unfreeze is None:
        assert not any(module.training for module in network.base.modules())
