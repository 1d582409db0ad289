"""A low-rank adapter with dropout, defined by this test alone, in each part of each base model.

Checkpoints, cached features and training mode follow from the parameters that require a gradient, not from names.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import pytest
import torch
from network_cases import CASES, every_network
from torch import Tensor, nn

from monai_tunevlseg.feature_cache import MemoryStore, open_cache
from monai_tunevlseg.methods import METHODS, Adapter, EncoderSizes
from monai_tunevlseg.networks import compile_layers

PARTS = ["text", "vision", "decoder"]


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
    """Wraps the first plain Linear of a feed-forward layer in each of the parts.

    Args:
        encoders: of the network.
        targets: names of the parts.
        dropout: probability in the low-rank branch.
    """

    __test__ = False

    def __init__(self, encoders: EncoderSizes, targets: Sequence[str] = ("text",), dropout: float = 0.5) -> None:
        super().__init__()
        self.targets, self.dropout = targets, dropout

    def attach(self, base: nn.Module, parts: Mapping[str, Sequence[str]]) -> None:
        for target in self.targets:
            parent, name, linear = next(_plain_linears(base, parts[target], parts["early_decoder"]))
            setattr(parent, name, LowRank(linear, rank=2, dropout=self.dropout))


def _plain_linears(base: nn.Module, part: Sequence[str], without: Sequence[str]):
    for name, module in base.named_modules():
        owner, _, last = name.rpartition(".")
        parent = base.get_submodule(owner)
        inside = any(f"{name}.".startswith(f"{prefix}.") for prefix in part)
        late = not any(f"{name}.".startswith(f"{prefix}.") for prefix in without)
        # attention reads the weights of its own Linears without calling them
        if type(module) is nn.Linear and inside and late and not isinstance(parent, nn.MultiheadAttention):
            yield parent, last, module


@pytest.fixture(autouse=True)
def registered():
    with METHODS.temporarily("low_rank", TestOnlyAdapter):
        yield


def possible(case, part: str) -> bool:
    """Return whether a part has a Linear to wrap; those of CRIS's ResNet all belong to its attention pooling."""
    return not (case.name == "cris" and part == "vision")


every_part = pytest.mark.parametrize(
    ("case", "part"),
    [(case, part) for case in CASES for part in PARTS if possible(case, part)],
    ids=lambda value: getattr(value, "name", value),
)


def step(network, image: Tensor) -> None:
    optimizer = torch.optim.SGD([each for each in network.parameters() if each.requires_grad], 0.5)
    network(image).square().mean().backward()
    optimizer.step()


def tuned(build, case, part: str, image: Tensor):
    """Return a network after two steps; the first one changes the zero matrix alone."""
    network = build(case, "low_rank", targets=[part], upsampler=False).train()
    for _ in range(2):
        step(network, image)
        network.zero_grad()
    return network.eval()


@every_part
def test_it_starts_as_the_base_model_bit_for_bit(case, part, build, pictures):
    with torch.no_grad():
        plain = build(case, None, upsampler=False).eval()(pictures(case))
        assert torch.equal(build(case, "low_rank", targets=[part], upsampler=False).eval()(pictures(case)), plain)


@every_part
def test_the_checkpoint_is_the_adapter_and_loads_strictly(case, part, build, pictures):
    network, image = build(case, "low_rank", targets=[part], upsampler=False), pictures(case)
    names = set(network.state_dict()) - {"_extra_state"}
    assert {name.rpartition(".")[0].rpartition(".")[2] for name in names} == {"down", "up"}
    network = tuned(build, case, part, image)
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    assert len(file.getvalue()) < 20_000
    file.seek(0)
    again = build(case, "low_rank", targets=[part], upsampler=False, seed=5).eval()
    again.load_state_dict(torch.load(file), strict=True)
    with torch.no_grad():
        assert torch.equal(again(image), network(image))
        assert not torch.equal(network(image), build(case, None, upsampler=False).eval()(image))
    with pytest.raises(ValueError, match="'low_rank'.*None"):
        build(case, None, upsampler=False).load_state_dict(network.state_dict())


@every_part
def test_features_that_it_reaches_are_encoded_anew_and_others_kept(case, part, build, pictures):
    network, image = build(case, "low_rank", targets=[part], upsampler=False, dropout=0.0).train(), pictures(case)
    assert network.trained.text_is_constant == (part != "text")
    assert network.trained.image_is_constant == (part != "vision")
    outputs = []
    for _ in range(3):
        outputs.append(network(image).detach())
        step(network, image)
    assert not torch.equal(outputs[1], outputs[2])
    assert bool(network.text_features) == (part != "text")
    fresh = build(case, "low_rank", targets=[part], upsampler=False, dropout=0.0)
    fresh.load_state_dict(network.state_dict())
    with torch.no_grad():  # features cached in training equal those of a fresh network
        assert torch.equal(fresh.eval()(image), network.eval()(image))


@every_part
def test_the_feature_cache_takes_it_where_image_features_are_constant(case, part, build):
    network = build(case, "low_rank", targets=[part])
    if part == "vision":
        with pytest.raises(ValueError, match="low_rank.*feature_cache"):
            open_cache(network, "memory", "", 1)
    else:
        assert isinstance(open_cache(network, "memory", "", 1).store, MemoryStore)


@every_part
def test_dropout_acts_in_training_only(case, part, build, pictures):
    network, image = tuned(build, case, part, pictures(case)), pictures(case)
    with torch.no_grad():
        assert torch.equal(network(image), network(image))
        network.train()
        assert not torch.equal(network(image), network(image))
    frozen = [module for name, module in network.base.named_modules() if name not in network.trained.modules]
    assert not any(module.training for module in frozen)


@every_part
def test_the_base_model_is_left_alone(case, part, build, pictures, base_model_of):
    base = base_model_of(case).model
    before = {name: value.clone() for name, value in base.state_dict().items()}
    network = tuned(build, case, part, pictures(case))
    assert not any(isinstance(module, LowRank) for module in base.modules())
    assert all(torch.equal(value, before[name]) for name, value in base.state_dict().items())
    shared = {id(parameter) for parameter in base.parameters()}
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    assert len(trained) == 2 and not any(id(parameter) in shared for parameter in trained)
    assert sum(id(parameter) in shared for parameter in network.base.parameters()) == len(shared)


@every_part
def test_in_bfloat16_the_adapter_stays_in_float32(case, part, build, pictures):
    image = pictures(case)
    network = build(case, "low_rank", targets=[part], upsampler=False).compute_in("bf16").train()
    step(network, image)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    assert {parameter.dtype for parameter in trained} == {torch.float32}
    assert set(network.state_dict()) == set(build(case, "low_rank", targets=[part], upsampler=False).state_dict())


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
    assert not network.trained.image_is_constant
    assert not network.trained.text_is_constant


@every_network
def test_an_adapter_that_unfreezes_shared_parameters_is_refused(case, build, base_model_of):
    class Thief(Adapter):
        def __init__(self, encoders: EncoderSizes) -> None:
            super().__init__()

        def attach(self, base: nn.Module, parts: Mapping[str, Sequence[str]]) -> None:
            base.get_submodule(parts["decoder"][0]).requires_grad_(True)

    with METHODS.temporarily("thief", Thief):
        with pytest.raises(ValueError, match="Thief"):
            build(case, "thief")
        assert not any(parameter.requires_grad for parameter in base_model_of(case).model.parameters())
        build(case, "thief", unfreeze="decoder")  # whose decoder is its own
