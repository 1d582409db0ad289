"""Every hyperparameter has a type and a range, and a wrong value is refused by name before anything is built."""

import math
from pathlib import Path

import pytest
import torch
import yaml
from monai.bundle import ConfigParser
from small_runs import BUNDLES, CONFIGS, raises_inside, workflow

from monai_tunevlseg.bundles import (
    HYPERPARAMETERS,
    bundle_names,
    experiment_names,
    prepare_run,
    render_experiment,
    typed,
)
from monai_tunevlseg.bundles.hyperparameters import METHODS_OWN

RUNS = ("train", "evaluate", "inference")
WRONG = ["", "abc!", [], {}, [2, 1], math.nan, math.inf, -math.inf, -1, 1e30, 1.5, True, None]

every_name = pytest.mark.parametrize("name", HYPERPARAMETERS)


def right_values(name):
    """Values of the campaign that are right for a hyperparameter."""
    kind = HYPERPARAMETERS[name]
    right = []
    if "true or false" in kind.words:
        right += [True]
    if "text" in kind.words or "path" in kind.words:
        right += ["abc!", -1]  # a number is a text that fire has read as a number
    if kind.words.startswith("a regular expression"):
        right += ["abc!", -1]
    if "texts" in kind.words:
        right += [[2, 1]]
    if "null" in kind.words:
        right += [None]
    if kind.words.startswith("a number") and not kind.words.endswith("to 1") and "and below 1" not in kind.words:
        right += [1.5]
    return right


@every_name
@pytest.mark.parametrize("value", WRONG, ids=repr)
def test_a_wrong_value_is_refused_with_name_value_and_what_is_allowed(name, value):
    if any(value is right or (type(value) is type(right) and value == right) for right in right_values(name)):
        typed(name, value)
        return
    with pytest.raises(ValueError) as raised:
        typed(name, value)
    message = str(raised.value)
    assert message.startswith(f"{name} is {value!r}; it must be ")
    assert f"such as --{name} " in message


@every_name
def test_the_example_of_a_message_is_right(name):
    kind = HYPERPARAMETERS[name]
    example = kind.example.strip('"')
    typed(name, yaml.safe_load(example) if example[:1] in "[{'" else example)


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
        ("method", "finetune", "finetune"),
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
        ("mask_threshold", 0.5, 0.5),
        ("group_pattern", "(p[0-9]+)", "(p[0-9]+)"),
        ("device", torch.device("cpu"), torch.device("cpu")),
    ],
)
def test_the_forms_of_fire_and_yaml_become_what_they_mean(name, given, meant):
    found = typed(name, given)
    assert found == meant and type(found) is type(meant)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("split", "validation", "train, val or test"),
        ("image_size", 0, "from 1"),
        ("epochs", 0, "from 1"),
        ("epochs", 1e12, "to 1000000"),
        ("cache_rate", 2, "from 0 to 1"),
        ("accumulation_steps", 1.5, "whole number"),
        ("lr_factor", 1, "below 1"),
        ("learning_rate", 0, "above 0"),
        ("weight_decay", 1e12, "to 100"),
        ("class_names", 1.5, "texts"),
        ("class_names", ["a", True], "texts"),
        ("class_names", ["a", " "], "texts"),
        ("label_values", {"polyp": 1.5}, "whole number"),
        ("image_std", [0.2, 0, 0.2], "above 0"),
        ("layout", "folders", "folder"),
        ("method", "copo", "coop"),
        ("group_pattern", "(", "regular expression"),
        ("device", "gpu", "cpu"),
        ("device", f"cuda:{torch.cuda.device_count()}", "this machine"),
    ],
)
def test_the_message_says_what_is_allowed(name, value, allowed):
    with pytest.raises(ValueError, match=f"^{name} is .*{allowed}"):
        typed(name, value)


@pytest.mark.parametrize("name", ["class_names", "neutral_text", "context_initializer", "dataset_dir", "ckpt_path"])
@pytest.mark.parametrize("written", ["grade ::2", "::7"])
def test_a_text_that_monai_has_changed_is_refused_with_the_character(name, written):
    with pytest.raises(ValueError, match=f"{name} is .*{written}.*#"):
        typed(name, written)


@pytest.mark.parametrize(
    ("option", "written", "shown"),
    [
        ("class_names", ["grade #2 tumor"], "grade ::2 tumor"),
        ("neutral_text", "no #", "no ::"),
        ("output_dir", "out/#7", "out/::7"),
        ("neutral_text", "@home", "@home"),
        ("class_names", ["@"], "@"),
    ],
)
def test_what_monai_would_change_is_refused_in_a_run(option, written, shown, small):
    with raises_inside(ValueError, f"^{option} is .*{shown}.*(#|@)"):
        workflow("clipseg_vpt", "evaluate", **small | {option: written})


@pytest.mark.parametrize("text", ["5 % @ home", "a: b", 'it\'s "so"', "50%", "polyp, red", "größe", "a@b"])
def test_other_texts_reach_the_network_as_they_are_written(text, small):
    assert list(workflow("clipseg_vpt", "inference", **small | {"class_names": [text]}).network_def.class_names) == [
        text
    ]


def is_plain(value):
    items = value if isinstance(value, list) else [value]
    return all(not isinstance(item, dict | list) and not str(item).startswith(("$", "@")) for item in items)


def flat(content):
    """Names at the outermost level whose values are plain."""
    return {name for name, value in content.items() if is_plain(value)}


def all_configs():
    for bundle in bundle_names(CONFIGS):
        for run in RUNS:
            yield yaml.safe_load((BUNDLES / bundle / "configs" / f"{run}.yaml").read_text())
    for experiment in experiment_names(CONFIGS):
        yield yaml.safe_load(render_experiment(CONFIGS, experiment))


def test_every_flat_value_of_a_config_is_declared_and_every_declaration_is_in_a_config():
    found, names = set(), set()
    for content in all_configs():
        found |= flat(content)
        names |= content.keys()
        for name in flat(content) & HYPERPARAMETERS.keys():
            typed(name, content[name])
    assert found - HYPERPARAMETERS.keys() == set()
    assert HYPERPARAMETERS.keys() - names == set()


@pytest.mark.parametrize(
    ("config", "option", "nearest"),
    [
        ("train", "learnin_rate", "learning_rate"),
        ("train", "epoch", "epochs"),
        ("evaluate", "num_overlay", "num_overlays"),
        ("inference", "class_name", "class_names"),
        ("inference", "loging_file", "logging_file"),
        ("inference", "label_value", "label_values"),
    ],
)
@pytest.mark.parametrize("as_file", [False, True])
def test_a_misspelt_option_is_refused_with_the_nearest_name(config, option, nearest, as_file, small, tmp_path):
    if as_file:
        overlay = tmp_path / "overlay.yaml"
        overlay.write_text(yaml.safe_dump({option: {"polyp": 1}}))
        made = ConfigParser(
            ConfigParser.load_config_files([BUNDLES / "clipseg_vpt/configs" / f"{config}.yaml", overlay])
        )
        with raises_inside(ValueError, f"^{option} is .*did you mean {nearest}"):
            made.get_parsed_content("network_def")
    else:
        with raises_inside(ValueError, f"^{option} is 1,.*did you mean {nearest}"):
            workflow("clipseg_vpt", config, **small, **{option: 1})


def test_an_option_of_another_method_is_named_in_the_log(small, caplog):
    assert "nhead" in METHODS_OWN
    workflow("clipseg_vpt", "inference", **small, nhead=8)
    assert any("nhead is 8" in record.getMessage() for record in caplog.records)


def test_options_of_other_runs_values_of_ones_own_and_monais_are_taken(small):
    own = {"epochs": 3, "_note": "mine", "rate": 0.5, "bootstrap_seed": "$round(@rate)", "use_click": False}
    made = workflow("clipseg_vpt", "inference", **small, **own, displayable_configs={"result_dtype": "uint8"})
    assert made.parser.get_parsed_content("bootstrap_seed") == 0


def test_the_forms_of_a_command_line_reach_the_parts_typed(small):
    given = {"method": "null", "slice_axis": "1", "class_names": 1, "num_workers": "0", "prompt_depth": "2"}
    made = workflow("clipseg_vpt", "inference", **small | given)
    assert made.parser.get_parsed_content("class_names") == ["1"]
    assert made.inferer.slice_axis == 1
    assert list(made.network_def.class_names) == ["1"]


def test_a_wrong_value_is_found_before_the_base_model_is_loaded(small):
    broken = small | {"pretrained": "/nowhere", "dataset_dir": "/nowhere", "epochs": math.nan}
    with raises_inside(ValueError, "^epochs is nan"):
        workflow("clipseg_vpt", "train", "train", **broken)


def test_preparing_a_run_outside_of_a_config_is_refused():
    with pytest.raises(RuntimeError, match="expression of a config"):
        prepare_run()
