"""A checkpoint holds the trained parameters and the network's identity; all loaders and no other networks accept it."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest
import torch
from ignite.engine import Engine
from monai.handlers import CheckpointLoader, CheckpointSaver
from monai.networks.utils import copy_model_state
from network_cases import (
    CASES,
    every_combination,
    every_combination_and_zero_shot,
    every_network,
    every_prompt_learner,
)
from safetensors.torch import load_file, save_file
from tiny_methods import tiny_arguments
from torch import nn

from monai_tunevlseg.methods import METHODS, with_defaults
from monai_tunevlseg.networks.base_model import fingerprint
from monai_tunevlseg.networks.identity import identity_to_tensor

DEPTH = {"prompt_depth": 2}
REFUSAL = "checkpoint .*{}.*network .*{}"


def trained(build, case, method, **arguments):
    """Build a network whose trainable tensors all differ from their initial values."""
    network = build(case, method, **tiny_arguments(method) | arguments).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return network


def same_logits(first, second, image) -> bool:
    with torch.no_grad():
        return torch.equal(first.eval()(image), second.eval()(image))


def identity_of(state) -> dict:
    return json.loads(bytes(state["_extra_state"].tolist()))


@every_combination_and_zero_shot
@pytest.mark.parametrize("upsampler", [True, False])
def test_a_checkpoint_holds_what_trains_and_one_tensor_more(case, method, upsampler, build):
    network = trained(build, case, method, upsampler=upsampler)
    state = network.state_dict()
    trainable = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert set(state) == trainable | {"_extra_state"}
    assert state["_extra_state"].dtype == torch.uint8
    assert state["_extra_state"].ndim == 1
    assert all(isinstance(value, torch.Tensor) for value in state.values())


@every_network
def test_a_checkpoint_file_has_nothing_else_of_the_base_in_it(case, build, tmp_path):
    """Not even the version that PyTorch stores for each module."""
    network = build(case, "coop")
    versions = Wrapper(network, "module").state_dict()._metadata
    assert {"module.method", "module.upsampler"} <= set(versions)
    assert not [name for name in versions if "base" in name]
    torch.save(network.state_dict(), tmp_path / "model.pt")
    learned = sum(parameter.nbytes for parameter in network.parameters() if parameter.requires_grad)
    assert (tmp_path / "model.pt").stat().st_size < learned + 8_000


@every_combination
def test_the_identity_names_base_method_and_classes(case, method, build, base_model_of):
    identity = identity_of(trained(build, case, method).state_dict())
    base = base_model_of(case)
    assert identity["base_model"] == base.name
    assert identity["base_fingerprint"] == base.fingerprint
    assert identity["method"] == method
    assert identity["method_kwargs"] == with_defaults(method, tiny_arguments(method))
    assert identity["class_names"] == ["polyp", "red circle", "lesion"]
    assert identity["format_version"] == 3


@every_combination_and_zero_shot
def test_a_strict_round_trip_through_a_file_gives_equal_logits(case, method, build, pictures, tmp_path):
    network = trained(build, case, method)
    other = build(case, method, seed=9, **tiny_arguments(method))
    assert not same_logits(network, other, pictures(case))
    torch.save(network.state_dict(), tmp_path / "model.pt")
    report = other.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True), strict=True)
    assert report.missing_keys == report.unexpected_keys == []
    assert same_logits(network, other, pictures(case))


@every_combination
def test_a_round_trip_through_safetensors(case, method, build, pictures, tmp_path):
    network, other = trained(build, case, method), build(case, method, seed=9, **tiny_arguments(method))
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    other.load_state_dict(load_file(tmp_path / "model.safetensors"), strict=True)
    assert same_logits(network, other, pictures(case))


@every_combination
def test_monais_copy_model_state_takes_everything(case, method, build, pictures):
    network, other = trained(build, case, method), build(case, method, seed=9, **tiny_arguments(method))
    _, updated, unchanged = copy_model_state(other, network.state_dict())
    assert set(updated) == set(network.state_dict())
    assert unchanged == []
    assert same_logits(network, other, pictures(case))


@every_combination
def test_monais_checkpoint_handlers(case, method, build, pictures, tmp_path):
    network, other = trained(build, case, method), build(case, method, seed=9, **tiny_arguments(method))
    trainer = Engine(lambda engine, batch: None)
    CheckpointSaver(str(tmp_path), {"model": network}, save_final=True, final_filename="final.pt").attach(trainer)
    trainer.run([0], max_epochs=1)
    evaluator = Engine(lambda engine, batch: None)
    CheckpointLoader(str(tmp_path / "final.pt"), {"model": other}, strict=True).attach(evaluator)
    evaluator.run([0], max_epochs=1)
    assert same_logits(network, other, pictures(case))


class Wrapper(nn.Module):
    """Holds a network as DistributedDataParallel does; ``base`` in its attribute must not matter."""

    def __init__(self, network: nn.Module, name: str) -> None:
        super().__init__()
        self.add_module(name, network)


@every_combination
@pytest.mark.parametrize("name", ["module", "base", "my_base"])
def test_a_wrappers_prefix_does_not_matter(case, method, name, build, pictures):
    network, other = trained(build, case, method), build(case, method, seed=9, **tiny_arguments(method))
    state = Wrapper(network, name).state_dict()
    assert set(state) == {f"{name}.{key}" for key in network.state_dict()}
    Wrapper(other, name).load_state_dict(state, strict=True)
    assert same_logits(network, other, pictures(case))


@every_network
def test_a_wrapper_still_misses_what_trains(case, build):
    state = Wrapper(trained(build, case, "coop"), "module").state_dict()
    state.pop("module.method.context")
    with pytest.raises(RuntimeError, match=r"Missing key.*module\.method\.context"):
        Wrapper(build(case, "coop", **DEPTH), "module").load_state_dict(state, strict=True)


@every_combination
@pytest.mark.parametrize("through", ["load_state_dict", "copy_model_state"])
def test_another_method_is_refused_by_both_names(case, method, through, build):
    for other in set(case.methods) - {method}:
        target = build(case, other, **tiny_arguments(other))
        before = {name: value.clone() for name, value in target.state_dict().items()}
        with pytest.raises(ValueError, match=REFUSAL.format(f"method '{method}'", f"'{other}'")):
            load(target, trained(build, case, method).state_dict(), through)
        assert all(torch.equal(before[name], value) for name, value in target.state_dict().items())


def load(network, state, through: str = "load_state_dict") -> None:
    if through == "load_state_dict":
        network.load_state_dict(state, strict=True)
    else:
        copy_model_state(network, state)


@every_prompt_learner
@pytest.mark.parametrize("through", ["load_state_dict", "copy_model_state"])
def test_another_depth_or_number_of_vectors_is_refused_with_both(case, method, through, build):
    state = trained(build, case, method).state_dict()
    with pytest.raises(ValueError, match=REFUSAL.format("prompt_depth 2", "1")):
        load(build(case, method, prompt_depth=1), state, through)
    with pytest.raises(ValueError, match=REFUSAL.format("num_context 4", "5")):
        load(build(case, method, num_context=5, **DEPTH), state, through)


@every_prompt_learner
def test_every_argument_counts_that_changes_what_was_learned(case, method, build):
    """Also arguments without effect on shapes, such as the number of heads and the order of normalization."""
    state = trained(build, case, method).state_dict()
    for name, value in with_defaults(method, DEPTH).items():
        if name in METHODS[method].training_only_arguments:
            continue
        changed = not value if isinstance(value, bool) else 2 * value if name == "dim_feedforward" else value // 2
        with pytest.raises(ValueError, match=f"{name} {value!r}.* {changed!r}"):
            load(build(case, method, **DEPTH | {name: changed}), state)


@every_combination
def test_arguments_that_only_matter_in_training_may_differ(case, method, build, pictures):
    own = with_defaults(method, {})
    others = {"context_initializer": None, "dropout": 0.4}
    network = trained(build, case, method)
    other = build(
        case, method, seed=9, **tiny_arguments(method) | {name: others[name] for name in others if name in own}
    )
    load(other, network.state_dict())
    assert same_logits(network, other, pictures(case))


@every_network
@pytest.mark.parametrize("method", [None, "coop"])
def test_the_upsampler_must_be_there_in_both_or_in_neither(case, method, build):
    for ours in (True, False):
        state = build(case, method, upsampler=not ours).state_dict()
        with pytest.raises(ValueError, match=REFUSAL.format(f"upsampler {not ours}", ours)):
            load(build(case, method, upsampler=ours), state)


@every_network
@pytest.mark.parametrize("through", ["load_state_dict", "copy_model_state"])
def test_another_base_is_refused_by_both_fingerprints(case, through, build, base_model_of, request):
    base = base_model_of(case)
    changed = case.load(str(request.getfixturevalue(case.folder)))
    with torch.no_grad():
        next(changed.model.parameters()).view(-1)[0] += 1
    other = replace(
        changed, name="elsewhere/another-name", fingerprint=fingerprint(changed.model, {}, changed.tokenizer)
    )
    assert other.fingerprint != base.fingerprint
    state = trained(build, case, "coop").state_dict()
    with pytest.raises(ValueError) as raised:
        load(build(case, "coop", base_model=other, **DEPTH), state, through)
    for part in (base.fingerprint, base.name, other.fingerprint, "elsewhere/another-name"):
        assert part in str(raised.value)


@every_network
def test_the_same_base_under_another_name_is_the_same_base(case, build, base_model_of, pictures):
    base = base_model_of(case)
    renamed = replace(base, name="moved/elsewhere")
    network, other = trained(build, case, "coop"), build(case, "coop", base_model=renamed, seed=9, **DEPTH)
    load(other, network.state_dict())
    assert same_logits(network, other, pictures(case))


@every_network
def test_classes_may_be_others(case, build, pictures):
    network, other = trained(build, case, "coop"), build(case, "coop", class_names=["cell"], **DEPTH)
    load(other, network.state_dict())
    with torch.no_grad():
        assert torch.equal(network(pictures(case), ["cell", "cell"]), other(pictures(case)))


@every_network
@pytest.mark.parametrize("arguments", [None, 3, [1]])
def test_an_identity_whose_arguments_are_not_a_mapping_is_refused(case, arguments, build):
    network = build(case, "coop", **DEPTH)
    state = network.state_dict()
    state["_extra_state"] = identity_to_tensor(identity_of(state) | {"method_kwargs": arguments})
    with pytest.raises(ValueError, match="_extra_state"):
        load(network, state)


@every_network
def test_another_network_is_refused_by_name(case, build):
    state = trained(build, case, "coop").state_dict()
    for other in CASES:
        if other.network is not case.network:
            with pytest.raises(
                ValueError, match=REFUSAL.format(f"network '{case.network.__name__}'", f"'{other.network.__name__}'")
            ):
                load(build(other, "coop", **DEPTH), state)
            # nor with strict=False
            with pytest.raises(ValueError, match=f"checkpoint .*{case.network.__name__}"):
                build(other, "coop", **DEPTH).load_state_dict(state, strict=False)


@every_network
def test_base_weights_in_a_checkpoint_are_refused(case, build):
    network = build(case, "coop", **DEPTH)
    state = network.state_dict() | {f"base.{name}": value for name, value in network.base.state_dict().items()}
    count = len(network.base.state_dict())
    with pytest.raises(ValueError, match=rf"\b{count} .*\(base\."):
        load(network, state)


@every_network
def test_a_checkpoint_of_the_bare_base_is_refused(case, build):
    network = build(case, "coop", **DEPTH)
    with pytest.raises(RuntimeError, match=r"Missing key.*_extra_state"):
        load(network, network.base.state_dict())


@every_combination_and_zero_shot
def test_every_missing_or_surplus_tensor_is_refused(case, method, build):
    network = trained(build, case, method)
    for name in random.Random(0).sample(sorted(network.state_dict()), 3):
        state = network.state_dict()
        state.pop(name)
        with pytest.raises(RuntimeError, match=rf"Missing key.*{name}"):
            load(network, state)
    with pytest.raises(RuntimeError, match=r"Unexpected key.*method\.more"):
        load(network, network.state_dict() | {"method.more": torch.zeros(1)})


@every_network
@pytest.mark.parametrize(
    "damaged",
    [
        torch.zeros(0, dtype=torch.uint8),
        torch.tensor(list(b"[]"), dtype=torch.uint8),
        torch.tensor(list(b'"text"'), dtype=torch.uint8),
        torch.tensor(list(b'{"format_version"'), dtype=torch.uint8),
        torch.full((9,), 300),
        torch.full((9,), 0.5),
        {"format_version": 1},
    ],
    ids=["empty", "list", "text", "cut", "no_bytes", "floats", "dictionary"],
)
def test_a_damaged_identity_is_refused(case, damaged, build):
    network = build(case, "coop", **DEPTH)
    with pytest.raises(ValueError, match=r"_extra_state|format_version"):
        load(network, network.state_dict() | {"_extra_state": damaged})


@every_network
def test_another_format_is_refused_with_both_versions(case, build):
    network = build(case, "coop", **DEPTH)
    identity = identity_of(network.state_dict()) | {"format_version": 1}
    state = network.state_dict() | {
        "_extra_state": torch.tensor(list(json.dumps(identity).encode()), dtype=torch.uint8)
    }
    with pytest.raises(ValueError, match=REFUSAL.format("format_version 1", "3")):
        load(network, state)


@every_network
@pytest.mark.parametrize("count", [1, 20, 400])
def test_the_identity_of_any_number_of_classes_is_read_again(case, count, build):
    names = [f"Überraschung {number} 🫀" for number in range(count)]
    network = build(case, "coop", class_names=names, **DEPTH)
    assert identity_of(network.state_dict())["class_names"] == names
    load(build(case, "coop", **DEPTH), network.state_dict())
