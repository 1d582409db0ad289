import pytest
import torch
from torch import nn

from monai_tunevlseg.training import parameter_groups


class Mixed(nn.Module):
    """One of each kind of parameter."""

    def __init__(self):
        super().__init__()
        self.context = nn.Parameter(torch.zeros(4, 8))
        self.residual = nn.Parameter(torch.tensor(0.5))
        self.linear = nn.Linear(8, 8)
        self.convolution = nn.Conv2d(3, 1, 5)
        self.transposed = nn.ConvTranspose2d(3, 1, 2)
        self.attention = nn.MultiheadAttention(8, 2)
        self.other_widths = nn.MultiheadAttention(8, 2, kdim=4, vdim=6)
        self.norm = nn.LayerNorm(8)
        self.batch_norm = nn.BatchNorm2d(3)
        self.frozen = nn.Linear(2, 2).requires_grad_(False)


def names(network, group):
    wanted = {id(parameter) for parameter in group["params"]}
    return {name for name, parameter in network.named_parameters() if id(parameter) in wanted}


def test_only_layer_weights_decay_and_only_trainable_ones_are_taken():
    network = Mixed()
    decaying, plain = parameter_groups(network, 0.25)
    assert (decaying["weight_decay"], plain["weight_decay"]) == (0.25, 0.0)
    assert names(network, decaying) == {
        "linear.weight",
        "convolution.weight",
        "transposed.weight",
        "attention.in_proj_weight",
        "attention.out_proj.weight",
        *(f"other_widths.{name}_proj_weight" for name in "qkv"),
        "other_widths.out_proj.weight",
    }
    trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert names(network, plain) == trained - names(network, decaying)


def test_an_optimizer_takes_the_groups_and_context_does_not_shrink():
    network = Mixed()
    nn.init.ones_(network.context)
    optimizer = torch.optim.AdamW(parameter_groups(network, 0.9), lr=0.1)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    before = network.linear.weight.clone()
    optimizer.step()
    assert torch.equal(network.context, torch.ones(4, 8))
    torch.testing.assert_close(network.linear.weight, before * (1 - 0.1 * 0.9))


def test_a_group_without_parameters_is_left_out():
    network = nn.Module()
    network.context = nn.Parameter(torch.zeros(2))
    assert [group["weight_decay"] for group in parameter_groups(network, 0.1)] == [0.0]


def test_a_weight_used_twice_is_taken_once():
    network = nn.ModuleList([nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)])
    network[1].weight = network[0].weight
    assert sum(len(group["params"]) for group in parameter_groups(network, 0.1)) == 1


def test_a_frozen_network_is_an_error():
    with pytest.raises(ValueError, match="Linear"):
        parameter_groups(nn.Linear(2, 2).requires_grad_(False), 0.1)


def test_a_negative_decay_is_an_error():
    with pytest.raises(ValueError, match="-0.1"):
        parameter_groups(nn.Linear(2, 2), -0.1)
