"""The costs of a way to tune are those of one training step of its network."""

from __future__ import annotations

import costs
import pytest
import torch

OPTIONS = "--repeats 1 --depth 2 --size 64 --batch 2 --device cpu --precision fp32"


@pytest.fixture
def arguments(tiny_bases):
    """Arguments that measure on the tiny CLIPSeg."""
    words = f"{OPTIONS} --threads {torch.get_num_threads()} --bases {tiny_bases}"
    return costs.parse_arguments(words.split())


@pytest.mark.parametrize("name", costs.NAMES)
def test_each_row_is_measured(name, arguments):
    cost = costs.measure_cost(name, arguments)
    assert cost.seconds > 0
    assert cost.peak > 0
    assert 0 < 4 * cost.parameters < cost.checkpoint


def test_parameters_of_lora_follow_from_its_formula(arguments, tiny_clipseg):
    config = tiny_clipseg.model.config
    text, vision, rank = config.text_config, config.vision_config, 8
    widths = [text.hidden_size] * text.num_hidden_layers + [vision.hidden_size] * (max(config.extract_layers) + 1)
    expected = sum(4 * rank * 2 * width for width in widths)  # four square projections per layer
    assert costs.measure_cost("lora", arguments).parameters == expected


def test_another_model_is_measured(arguments, tiny_sam3):
    arguments.model = "sam3"
    config = tiny_sam3.model.config
    contexts = 4 * arguments.depth * config.vision_config.backbone_config.hidden_size
    channels = config.mask_decoder_config.hidden_size
    upsampler = (channels + 1) * 64 + (64 * 5 * 5 + 1) + 1  # 1x1 and 5x5 convolution, and the residual factor
    assert costs.measure_cost("vpt", arguments).parameters == contexts + upsampler


def test_the_whole_model_trains_in_fine_tuning(arguments, tiny_clipseg):
    expected = sum(parameter.numel() for parameter in tiny_clipseg.model.parameters())
    assert costs.measure_cost("finetune", arguments).parameters == expected


def test_the_table_has_a_row_from_a_process_of_its_own(arguments, monkeypatch):
    monkeypatch.setattr(costs, "build_network", None)  # of this process
    arguments.only = ["vpt"]
    names, *_, relative, _ = costs.measure_costs(arguments).columns
    assert list(names.cells) == ["vpt"]
    assert list(relative.cells) == ["1.00"]
