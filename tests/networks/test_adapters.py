"""The contract of adapters: those of METHODS, and one that this test alone defines, in each part of each base model.

Checkpoints, cached features and training mode follow from the parameters that require a gradient, not from names.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from network_cases import CASES, NetworkCase, every_network
from torch import Tensor, nn

from monai_tunevlseg.feature_cache import MemoryStore, open_cache
from monai_tunevlseg.methods import METHODS, Adapter, AdapterSites, EncoderSizes
from monai_tunevlseg.networks import compile_layers
from monai_tunevlseg.networks.precision import cast_frozen


class LowRank(nn.Module):
    """A frozen Linear plus a product of two small ones, the second of which starts at zero."""

    def __init__(self, frozen: nn.Linear, rank: int, dropout: float) -> None:
        super().__init__()
        self.frozen = frozen
        self.dropout = nn.Dropout(dropout)
        self.down = nn.Linear(frozen.in_features, rank, bias=False)
        self.up = nn.Linear(rank, frozen.out_features, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, values: Tensor) -> Tensor:
        update = self.up(self.down(self.dropout(values.to(self.down.weight.dtype))))
        return self.frozen(values) + update.to(values.dtype)


class TestOnlyAdapter(Adapter):
    """Wraps the first Linear of the MLP of a part's first layer.

    Args:
        encoders: of the network.
        adapted_parts: names of the parts.
        dropout: probability in the low-rank branch.
    """

    __test__ = False

    def __init__(self, encoders: EncoderSizes, adapted_parts: Sequence[str] = ("text",), dropout: float = 0.5) -> None:
        super().__init__()
        self.parts, self.dropout = adapted_parts, dropout

    def attach(self, base: nn.Module, sites: AdapterSites) -> None:
        for part in self.parts:
            name = sites.layers(part)[0].mlp[0]
            base.set_submodule(name, LowRank(base.get_submodule(name), rank=2, dropout=self.dropout))


@pytest.fixture(autouse=True)
def registered():
    with METHODS.temporarily("low_rank", TestOnlyAdapter):
        yield


@dataclass(frozen=True)
class Adapted:
    """An adapter with arguments that fit the tiny base models.

    Attributes:
        name: name in test ids.
        method: registered name.
        reaches: the parts whose features it changes: ``text``, ``vision``, ``decoder``, ``condition``.
        arguments: of the method.
    """

    name: str
    method: str
    reaches: tuple[str, ...]
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def has_dropout(self) -> bool:
        return bool(self.arguments.get("dropout"))

    def needs_layers(self, case: NetworkCase) -> bool:
        return ("vision" in case.lacks and "vision" in self.reaches) or ("taps" in case.lacks and "tap" in self.name)


VLSM, TELESCOPIC = {"adapter_dim": 3, "adapted_layers": 2}, {"adapter_dim": 24, "adapted_layers": 2}
SHALLOW = {"placement": "shallow", "adapter_dim": 3}
ADAPTERS = [
    *(
        Adapted(f"low_rank-{part}", "low_rank", (part,), {"adapted_parts": [part], "dropout": 0.5})
        for part in ("text", "vision", "decoder")
    ),
    *(
        Adapted(f"lora-{part}", "lora", (part,), {"adapted_parts": [part], "lora_rank": 2, "lora_mlp": True})
        for part in ("text", "vision", "decoder")
    ),
    Adapted("lora-attention", "lora", ("text",), {"adapted_parts": ["text"], "lora_rank": 3}),
    Adapted("lora-dropout", "lora", ("vision", "text"), {"lora_rank": 2, "dropout": 0.5}),
    Adapted("dense-text", "vlsm_adapter", ("text",), {"adapted_parts": ["text"], **VLSM}),
    Adapted("dense-vision", "vlsm_adapter", ("vision",), {"adapted_parts": ["vision"], **VLSM}),
    Adapted("condition", "vlsm_adapter", ("condition",), {"adapted_parts": ["condition"], "condition_adapter_dim": 3}),
    Adapted("shallow-tap-text", "vlsm_adapter", ("condition",), {"adapted_parts": ["text"], **SHALLOW}),
    Adapted("shallow-tap-vision", "vlsm_adapter", ("vision",), {"adapted_parts": ["vision"], **SHALLOW}),
    Adapted("shallow-tap-all", "vlsm_adapter", ("vision", "condition"), SHALLOW),
    Adapted("telescopic", "telescopic_adapter", ("vision", "text", "condition"), {**TELESCOPIC, "dropout": 0.5}),
    Adapted(
        "telescopic-text", "telescopic_adapter", ("text",), {**TELESCOPIC, "adapted_parts": ["text"], "dropout": 0.5}
    ),
]
every_adapter = pytest.mark.parametrize(
    ("case", "adapted"),
    [(case, adapted) for case in CASES for adapted in ADAPTERS if not adapted.needs_layers(case)],
    ids=lambda value: value.name,
)


@pytest.fixture
def attach(build):
    """Build a network with an adapter and without upsampler."""

    def get(case, adapted, **arguments):
        return build(case, adapted.method, upsampler=False, **adapted.arguments | arguments)

    return get


def test_every_registered_adapter_is_tested():
    adapters = {name for name in METHODS if issubclass(METHODS[name], Adapter)}
    assert adapters == {adapted.method for adapted in ADAPTERS}


def step(network, image: Tensor) -> None:
    optimizer = torch.optim.AdamW([each for each in network.parameters() if each.requires_grad], 0.02)
    network(image).square().mean().backward()
    optimizer.step()


def tuned(attach, case, adapted, image: Tensor):
    """Return a network after two steps; the first one changes the zero matrices alone."""
    network = attach(case, adapted).train()
    for _ in range(2):
        step(network, image)
        network.zero_grad()
    return network.eval()


@every_adapter
def test_it_starts_as_the_base_model_bit_for_bit(case, adapted, build, attach, pictures):
    with torch.no_grad():
        plain = build(case, None, upsampler=False).eval()(pictures(case))
        assert torch.equal(attach(case, adapted).eval()(pictures(case)), plain)
        assert torch.equal(attach(case, adapted).train()(pictures(case)), plain)


@every_adapter
def test_every_tensor_learns(case, adapted, attach, pictures):
    network = attach(case, adapted, **({"dropout": 0.0} if adapted.has_dropout else {})).train()
    before = {name: value.detach().clone() for name, value in network.named_parameters() if value.requires_grad}
    for _ in range(3):  # a scalar before a zero matrix moves in the second step, what is before it in the third
        step(network, pictures(case))
        network.zero_grad()
    still = [name for name, value in network.named_parameters() if name in before and torch.equal(value, before[name])]
    assert before and not still


@every_adapter
def test_the_checkpoint_is_the_adapter_and_loads_strictly(case, adapted, build, attach, pictures):
    network, image = tuned(attach, case, adapted, pictures(case)), pictures(case)
    trained = {name: value for name, value in network.named_parameters() if value.requires_grad}
    assert set(network.state_dict()) == {*trained, "_extra_state"}
    shared = {id(value) for value in build(case, None, upsampler=False).parameters()}
    assert not any(id(value) in shared for value in trained.values())
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    assert len(file.getvalue()) < 6_000 + sum(value.nbytes for value in trained.values()) + 1_200 * len(trained)
    file.seek(0)
    again = attach(case, adapted).eval()
    again.load_state_dict(torch.load(file), strict=True)
    with torch.no_grad():
        assert torch.equal(again(image), network(image))
        assert not torch.equal(network(image), build(case, None, upsampler=False).eval()(image))
    with pytest.raises(ValueError, match=f"'{adapted.method}'.*None"):
        build(case, None, upsampler=False).load_state_dict(network.state_dict())


@every_adapter
def test_features_that_it_reaches_are_encoded_anew_and_others_kept(case, adapted, attach, pictures):
    own = {"dropout": 0.0} if adapted.has_dropout else {}
    network, image = attach(case, adapted, **own).train(), pictures(case)
    reaches_vision = "vision" in adapted.reaches and case.vlsm != "cris"
    assert network.trained.text_is_constant == ("text" not in adapted.reaches)
    assert network.trained.image_is_constant == (not reaches_vision)
    outputs = []
    for _ in range(3):
        outputs.append(network(image).detach())
        step(network, image)
    assert not torch.equal(outputs[1], outputs[2])
    assert bool(network.text_features) == network.trained.text_is_constant
    fresh = attach(case, adapted, **own)
    fresh.load_state_dict(network.state_dict())
    with torch.no_grad():  # features cached in training equal those of a fresh network
        assert torch.equal(fresh.eval()(image), network.eval()(image))


@every_adapter
def test_the_feature_cache_takes_it_where_image_features_are_constant(case, adapted, attach):
    network = attach(case, adapted)
    if network.trained.image_is_constant:
        assert isinstance(open_cache(network, "memory", "", 1).store, MemoryStore)
    else:
        with pytest.raises(ValueError, match=f"{adapted.method}.*feature_cache"):
            open_cache(network, "memory", "", 1)


@every_adapter
def test_dropout_acts_in_training_only(case, adapted, attach, pictures):
    network, image = tuned(attach, case, adapted, pictures(case)), pictures(case)
    with torch.no_grad():
        assert torch.equal(network(image), network(image))
        network.train()
        equal = torch.equal(network(image), network(image))
    # in CRIS, dropout acts on the updates of Linear modules alone, and attention has none
    assert equal != (adapted.has_dropout and not (case.vlsm == "cris" and adapted.method == "lora"))
    frozen = [module for name, module in network.base.named_modules() if name not in network.trained.modules]
    assert not any(module.training for module in frozen)


@every_adapter
def test_the_base_model_is_left_alone(case, adapted, attach, pictures, base_model_of):
    base = base_model_of(case).model
    before = {name: value.clone() for name, value in base.state_dict().items()}
    kinds = [type(module) for module in base.modules()]
    network = tuned(attach, case, adapted, pictures(case))
    assert kinds == [type(module) for module in base.modules()]
    assert all(torch.equal(value, before[name]) for name, value in base.state_dict().items())
    shared = {id(parameter) for parameter in base.parameters()}
    assert sum(id(parameter) in shared for parameter in network.base.parameters()) == len(shared)


@every_adapter
def test_an_encoder_without_adapters_runs_without_autograd(case, adapted, attach, pictures):
    network = attach(case, adapted).train()
    graphs: set[str] = set()

    def note(name):
        return lambda module, inputs, output: graphs.add(name) if _has_graph(output) else None

    for name, module in network.base.named_modules():
        module.register_forward_hook(note(name))
    network(pictures(case))
    inside = {part: [n for n in graphs if n.startswith(getattr(network.parts, part))] for part in ("text", "vision")}
    assert bool(inside["text"]) == ("text" in adapted.reaches)
    assert bool(inside["vision"]) == (
        "vision" in adapted.reaches and "tap" not in adapted.name and "vision" not in case.lacks
    )
    assert not [name for name in graphs if "embed" in name]


def _has_graph(output: Any) -> bool:
    first = output[0] if isinstance(output, tuple) else output
    return isinstance(first, Tensor) and first.requires_grad


@every_adapter
def test_in_bfloat16_the_adapter_stays_in_float32(case, adapted, attach, pictures):
    image = pictures(case)
    network = attach(case, adapted).compute_in("bf16").train()
    step(network, image)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    assert {parameter.dtype for parameter in trained} == {torch.float32}
    assert set(network.state_dict()) == set(attach(case, adapted).state_dict())


@every_adapter
def test_on_a_base_model_in_bfloat16_the_adapter_is_in_float32(case, adapted, attach, pictures, base_model_of):
    base = base_model_of(case)
    halved = replace(base, model=cast_frozen(base.model, "bf16"))
    network = attach(case, adapted, base_model=halved).train()
    assert {each.dtype for each in network.parameters() if each.requires_grad} == {torch.float32}
    step(network, pictures(case))


@every_adapter
def test_merged_logits_are_those_of_the_adapter(case, adapted, attach, pictures, base_model_of):
    network, image = tuned(attach, case, adapted, pictures(case)), pictures(case)
    frozen = {name: value.clone() for name, value in network.base.state_dict().items()}
    merged = network.merged()
    with torch.no_grad():
        logits = network(image)
        assert (merged(image) - logits).norm() < 1e-5 * logits.norm()
        assert all(torch.equal(value, frozen[name]) for name, value in network.base.state_dict().items())
    if adapted.method == "lora":
        names = {name for name, _ in merged.base.named_parameters()}
        assert names == {name for name, _ in base_model_of(case).model.named_parameters()}


@every_network
def test_compiled_layers_keep_the_adapter(case, build):
    network = build(case, "low_rank", upsampler=False)
    names = set(network.state_dict())
    assert set(compile_layers(network).state_dict()) == names


@every_network
def test_it_goes_with_an_unfrozen_decoder(case, build):
    network = build(case, "low_rank", upsampler=False, unfreeze="decoder")
    decoder = set(build(case, None, upsampler=False, unfreeze="decoder").state_dict())
    assert len(set(network.state_dict()) - decoder) == 2
    assert network.trained.image_is_constant == (not case.network.parts.early_decoder)
    assert not network.trained.text_is_constant


@every_network
def test_an_adapter_that_unfreezes_shared_parameters_is_refused(case, build, base_model_of):
    class Thief(Adapter):
        def __init__(self, encoders: EncoderSizes) -> None:
            super().__init__()

        def attach(self, base: nn.Module, sites: AdapterSites) -> None:
            base.get_submodule(sites.layers("decoder")[0].mlp[0]).requires_grad_(True)

    with METHODS.temporarily("thief", Thief):
        with pytest.raises(ValueError, match="Thief"):
            build(case, "thief")
        assert not any(parameter.requires_grad for parameter in base_model_of(case).model.parameters())
        build(case, "thief", unfreeze="decoder")  # whose decoder is its own
