"""Every hyperparameter has a type and a range, and a wrong value is refused by name before anything is built."""

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
import yaml

from monai_tunevlseg.hyperparameters import (
    hyperparameter_types,
    method_argument_types,
    parse_hyperparameter,
    prepare_run,
)
from monai_tunevlseg.methods import METHODS, Adapter, EncoderSizes

WRONG = ["", "abc!", [], {}, [2, 1], math.nan, math.inf, -math.inf, -1, 1e30, 1.5, True, None]

TYPES = hyperparameter_types()
every_name = pytest.mark.parametrize("name", TYPES)


def right_values(name):
    """Return those of WRONG that are right for a hyperparameter."""
    value_type = TYPES[name]
    right = []
    if "true or false" in value_type.description:
        right += [True]
    if "text" in value_type.description or "path" in value_type.description:
        right += ["abc!", -1]  # a number is a text that fire has read as a number
    if value_type.description.startswith("a regular expression"):
        right += ["abc!", -1]
    if "texts" in value_type.description or "list of whole numbers" in value_type.description:
        right += [[2, 1]]
    if "null" in value_type.description:
        right += [None]
    if (
        value_type.description.startswith("a number")
        and not value_type.description.removesuffix(", or null").endswith("to 1")
        and "and below 1" not in value_type.description
    ):
        right += [1.5]
    return right


@every_name
@pytest.mark.parametrize("value", WRONG, ids=repr)
def test_a_wrong_value_is_refused_with_name_value_and_an_example(name, value):
    if any(value is right or (type(value) is type(right) and value == right) for right in right_values(name)):
        parse_hyperparameter(name, value)
        return
    with pytest.raises(ValueError) as raised:
        parse_hyperparameter(name, value)
    message = str(raised.value)
    assert message.startswith(f"{name} is {value!r}; ")
    assert f"--{name} {TYPES[name].example}" in message


@every_name
def test_the_example_of_a_message_is_right(name):
    value_type = TYPES[name]
    example = value_type.example.strip('"')
    parse_hyperparameter(name, yaml.safe_load(example) if example[:1] in "[{'" else example)


@pytest.mark.parametrize(
    ("name", "given", "meant"),
    [
        ("learning_rate", "1e-3", 0.001),
        ("learning_rate", "5E-4", 0.0005),
        ("epochs", "3", 3),
        ("epochs", 20.0, 20),
        ("resume", "true", True),
        ("resume", "False", False),
        ("splits_file", "null", None),
        ("method", "None", None),
        ("method", None, None),
        ("method", "vpt", "vpt"),
        ("neutral_text", "null", None),
        ("neutral_text", 3, "3"),
        ("class_names", 1, ["1"]),
        ("class_names", "skin lesion", ["skin lesion"]),
        ("class_names", ("a", "b"), ["a", "b"]),
        ("dataset_dir", 2024, "2024"),
        ("dataset_dir", Path("data"), "data"),
        ("label_values", {"polyp": 1.0}, {"polyp": 1}),
        ("feature_cache", False, "off"),
        ("slice_axis", "1", 1),
        ("image_mean", (0, "1e-3", 1), [0, 0.001, 1]),
        ("channels", (8, "16", 32.0), [8, 16, 32]),
        ("architecture", "dynunet", "dynunet"),
        ("mask_threshold", 0.5, 0.5),
        ("num_shots", "4", 4),
        ("num_shots", "null", None),
        ("train_fraction", "1e-1", 0.1),
        ("val_fraction", "same", "same"),
        ("val_fraction", "0.5", 0.5),
        ("group_pattern", "(p[0-9]+)", "(p[0-9]+)"),
        ("device", torch.device("cpu"), torch.device("cpu")),
    ],
)
def test_the_forms_of_fire_and_yaml_are_converted(name, given, meant):
    found = parse_hyperparameter(name, given)
    assert found == meant and type(found) is type(meant)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("split", "validation", "train, val or test"),
        ("image_size", 0, "from 1"),
        ("epochs", 0, "from 1"),
        ("epochs", 1e12, "to 1000000"),
        ("cache_rate", 2, "from 0 to 1"),
        ("num_shots", 0, "from 1"),
        ("train_fraction", 0, "above 0"),
        ("val_fraction", "alike", "same, or a number above 0 to 1, or null"),
        ("accumulation_steps", 1.5, "whole number"),
        ("lr_factor", 1, "below 1"),
        ("learning_rate", 0, "above 0"),
        ("weight_decay", 1e12, "to 100"),
        ("class_names", 1.5, "texts"),
        ("class_names", ["a", True], "texts"),
        ("class_names", ["a", " "], "texts"),
        ("adapted_parts", [], "vision"),
        ("label_values", {"polyp": 1.5}, "whole number"),
        ("image_std", [0.2, 0, 0.2], "above 0"),
        ("layout", "folders", "folder"),
        ("method", "copo", "coop"),
        ("architecture", "unetr", "flexible, attention or dynunet"),
        ("backbone", "vgg16", "resnet50"),
        ("channels", [8, 0], "from 1"),
        ("channels", 16, "whole numbers"),
        ("group_pattern", "(", "regular expression"),
        ("device", "gpu", "cpu"),
        ("device", f"cuda:{torch.cuda.device_count()}", "this machine"),
    ],
)
def test_the_message_has_the_allowed_values(name, value, allowed):
    with pytest.raises(ValueError, match=f"^{name} is .*{allowed}"):
        parse_hyperparameter(name, value)


@pytest.mark.parametrize("name", ["class_names", "neutral_text", "context_initializer", "dataset_dir", "ckpt_path"])
@pytest.mark.parametrize("written", ["grade ::2", "::7"])
def test_a_text_that_monai_has_changed_is_refused_with_the_character(name, written):
    with pytest.raises(ValueError, match=f"{name} is .*{written}.*#"):
        parse_hyperparameter(name, written)


def test_preparing_a_run_outside_of_a_config_is_refused():
    with pytest.raises(RuntimeError, match="prepare_run"):
        prepare_run()


class Knob(Adapter):
    """A method with an argument of each type."""

    def __init__(
        self,
        encoders: EncoderSizes,
        knob_rank: int = 4,
        knob_alpha: float = 0.5,
        knob_merged: bool = False,
        knob_name: str = "q",
        knob_phrase: str | None = None,
        knob_targets: Sequence[str] = ("text",),
    ) -> None:
        super().__init__()

    def attach(self, base, parts) -> None: ...


def test_the_arguments_of_a_new_method_are_hyperparameters_of_their_types():
    with METHODS.temporarily("knob", Knob):
        given = {"knob_rank": "8", "knob_alpha": "1e-1", "knob_merged": "true", "knob_name": "v", "knob_phrase": "null"}
        meant = {"knob_rank": 8, "knob_alpha": 0.1, "knob_merged": True, "knob_name": "v", "knob_phrase": None}
        assert {name: parse_hyperparameter(name, value) for name, value in given.items()} == meant
        assert parse_hyperparameter("knob_targets", ["text", "vision"]) == ["text", "vision"]
        assert parse_hyperparameter("method", "knob") == "knob"
        with pytest.raises(ValueError, match="knob_rank is 0.*4"):
            parse_hyperparameter("knob_rank", 0)
    assert "knob_rank" not in hyperparameter_types()


def test_an_argument_of_another_type_cannot_be_a_hyperparameter():
    class Odd(Adapter):
        def __init__(self, encoders: EncoderSizes, odd: complex = 1j) -> None: ...

        def attach(self, base, parts) -> None: ...

    with METHODS.temporarily("odd", Odd), pytest.raises(TypeError, match="complex"):
        method_argument_types()


def test_an_argument_must_not_be_a_hyperparameter_of_every_bundle():
    class Seeded(Adapter):
        def __init__(self, encoders: EncoderSizes, seed: int = 1) -> None: ...

        def attach(self, base, parts) -> None: ...

    with METHODS.temporarily("seeded", Seeded), pytest.raises(TypeError, match="'seed'"):
        hyperparameter_types()


def test_an_argument_has_the_same_type_in_every_method():
    class Deep(Adapter):
        def __init__(self, encoders: EncoderSizes, prompt_depth: float = 0.5) -> None: ...

        def attach(self, base, parts) -> None: ...

    with METHODS.temporarily("deep", Deep), pytest.raises(TypeError, match=r"'deep'.*'prompt_depth'.*number.*whole"):
        method_argument_types()
