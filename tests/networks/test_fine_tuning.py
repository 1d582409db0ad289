"""Fine-tuning of the decoder or of the whole base model: trained parameters, checkpoints, and the frozen rest."""

import pytest
import torch
from network_cases import every_network
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

every_unfreeze = pytest.mark.parametrize("unfreeze", ["decoder", "all"])


@pytest.fixture
def fine_tuned(build, pictures):
    """Build a network for fine-tuning and move its weights by one step."""

    def get(case, unfreeze, step=True):
        network = build(case, upsampler=False, unfreeze=unfreeze).train()
        if step:
            optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.05)
            network(pictures(case)).square().mean().backward()
            optimizer.step()
        return network

    return get


def trained_names(case, unfreeze, base: nn.Module) -> set[str]:
    scope = ("",) if unfreeze == "all" else tuple(f"{part}." for part in case.network.parts.decoder)
    return {name for name in base.state_dict() if name.startswith(scope)}


@every_network
@every_unfreeze
def test_the_part_trains_and_the_checkpoint_holds_it_whole(case, unfreeze, fine_tuned):
    network = fine_tuned(case, unfreeze, step=False)
    wanted = trained_names(case, unfreeze, network.base)
    assert {name for name, value in network.base.named_parameters() if value.requires_grad} == wanted & {
        name for name, _ in network.base.named_parameters()
    }
    assert set(network.state_dict()) == {"_extra_state"} | {f"base.{name}" for name in wanted}
    if unfreeze == "all":
        assert wanted == set(network.base.state_dict())


@every_network
@every_unfreeze
def test_a_step_moves_the_part_and_neither_the_rest_nor_the_base_model(case, unfreeze, fine_tuned, base_model_of):
    before = {name: value.clone() for name, value in base_model_of(case).model.state_dict().items()}
    network = fine_tuned(case, unfreeze)
    for name, value in base_model_of(case).model.state_dict().items():
        assert torch.equal(value, before[name]), name
    after = network.base.state_dict()
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    part = trained_names(case, unfreeze, network.base)
    assert moved and moved <= part
    assert len(moved) > 0.5 * len(part)  # all but statistics and parameters that the decoder does not use
    shared = base_model_of(case).model.state_dict()
    assert all((after[name].data_ptr() == shared[name].data_ptr()) == (name not in part) for name in after)


@every_network
@every_unfreeze
def test_a_round_trip_through_a_file_gives_equal_logits(case, unfreeze, fine_tuned, build, pictures, tmp_path):
    network = fine_tuned(case, unfreeze).eval()
    torch.save(network.state_dict(), tmp_path / "model.pt")
    again = build(case, upsampler=False, unfreeze=unfreeze).eval()
    with torch.no_grad():
        assert not torch.equal(again(pictures(case)), network(pictures(case)))
        again.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
        assert torch.equal(again(pictures(case)), network(pictures(case)))


@every_network
def test_both_encoders_learn_end_to_end(case, fine_tuned, base_model_of):
    before, after = base_model_of(case).model.state_dict(), fine_tuned(case, "all").base.state_dict()
    for part in ("token_embedding.weight", "conv1.weight", "patch_embedding.weight"):
        for name in (name for name in before if name.endswith(part)):
            assert not torch.equal(before[name], after[name]), name


@every_network
def test_texts_are_kept_only_where_their_encoder_is_frozen(case, fine_tuned):
    assert not fine_tuned(case, "all").text_features
    assert fine_tuned(case, "decoder").text_features


@every_network
@every_unfreeze
def test_training_mode_reaches_the_part_but_no_batch_norm(case, unfreeze, fine_tuned):
    network = fine_tuned(case, unfreeze, step=False)
    scope = {name for name, module in network.base.named_modules() if module.training}
    norms = {name for name, module in network.base.named_modules() if isinstance(module, _BatchNorm)}
    assert scope and not scope & norms
    if unfreeze == "decoder":
        assert all(name.startswith(case.network.parts.decoder) for name in scope)
    network.eval()
    assert not any(module.training for module in network.base.modules())


@every_network
@every_unfreeze
def test_one_image_is_a_batch(case, unfreeze, fine_tuned, pictures):
    network = fine_tuned(case, unfreeze, step=False)
    network(pictures(case, 1), ["polyp"]).mean().backward()


@every_network
def test_checkpoints_of_other_trainings_are_refused_by_name(case, fine_tuned, build):
    whole, decoder = fine_tuned(case, "all", step=False), fine_tuned(case, "decoder", step=False)
    zero_shot = build(case, upsampler=False)
    for network, other in ((zero_shot, whole), (whole, decoder), (decoder, whole), (whole, zero_shot)):
        with pytest.raises(ValueError, match=f"unfreeze {other.unfreeze!r}.* {network.unfreeze!r}"):
            network.load_state_dict(other.state_dict())


@every_network
def test_a_decoder_may_train_with_prompts(case, build, pictures):
    network = build(case, "coop", unfreeze="decoder", prompt_depth=2).train()
    network(pictures(case)).mean().backward()
    assert network.method.context.grad is not None
    assert {name.split(".")[0] for name in network.state_dict()} == {"_extra_state", "method", "upsampler", "base"}


@every_network
def test_an_unknown_part_is_refused(case, build):
    with pytest.raises(ValueError, match="unfreeze .*'encoder'.*None, 'decoder', 'all'"):
        build(case, unfreeze="encoder")
