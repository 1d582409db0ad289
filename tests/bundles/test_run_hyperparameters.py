"""The hyperparameters of the bundles' configs and of their runs."""

import math

import pytest
import yaml
from monai.bundle import ConfigParser
from small_runs import BUNDLES, CONFIGS, raises_inside, workflow

from monai_tunevlseg.bundles import bundle_names, experiment_names
from monai_tunevlseg.hyperparameters import hyperparameter_types, method_argument_types, parse_hyperparameter

TYPES = hyperparameter_types()


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
def test_a_text_that_monai_would_change_is_refused(option, written, shown, small):
    with raises_inside(ValueError, f"^{option} is .*{shown}.*(#|@)"):
        workflow("clipseg_vpt", "evaluate", **small | {option: written})


@pytest.mark.parametrize("text", ["5 % @ home", "a: b", 'it\'s "so"', "50%", "polyp, red", "größe", "a@b"])
def test_other_texts_reach_the_network_unchanged(text, small):
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
    bundles = [path for name in bundle_names(CONFIGS) for path in (BUNDLES / name / "configs").glob("*.yaml")]
    for path in [*bundles, *(CONFIGS / f"{name}.yaml" for name in experiment_names(CONFIGS))]:
        yield yaml.safe_load(path.read_text())


def test_flat_config_values_and_declared_hyperparameters_are_the_same():
    found, names = set(), set()
    for content in all_configs():
        found |= flat(content)
        names |= content.keys()
        for name in flat(content) & TYPES.keys():
            parse_hyperparameter(name, content[name])
    assert found - TYPES.keys() == set()
    assert TYPES.keys() - names == set()


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
        with raises_inside(ValueError, f"^{option} is .*{nearest}"):
            made.get_parsed_content("network_def")
    else:
        with raises_inside(ValueError, f"^{option} is 1,.*{nearest}"):
            workflow("clipseg_vpt", config, **small, **{option: 1})


def test_an_option_of_another_method_is_named_in_the_log(small, caplog):
    assert "nhead" in method_argument_types()
    workflow("clipseg_vpt", "inference", **small, nhead=8)
    assert any("nhead is 8" in record.getMessage() for record in caplog.records)


def test_options_of_other_configs_custom_values_and_monais_are_accepted(small):
    own = {"epochs": 3, "_note": "mine", "rate": 0.5, "bootstrap_seed": "$round(@rate)", "use_click": False}
    made = workflow("clipseg_vpt", "inference", **small, **own, displayable_configs={"result_dtype": "uint8"})
    assert made.parser.get_parsed_content("bootstrap_seed") == 0


def test_the_forms_of_a_command_line_reach_the_parts_typed(small):
    given = {
        "method": "null",
        "upsampler": "false",
        "slice_axis": "1",
        "class_names": 1,
        "num_workers": "0",
        "prompt_depth": "2",
    }
    made = workflow("clipseg_vpt", "inference", **small | given)
    assert made.parser.get_parsed_content("class_names") == ["1"]
    assert made.inferer.slice_axis == 1
    assert list(made.network_def.class_names) == ["1"]


@pytest.mark.parametrize("method", ["null", "vpt"])
def test_parts_that_are_parsed_without_a_run_get_typed_values(method, small):
    given = {"method": method, "unfreeze": "null", "class_names": "red square", "splits_file": "null"}
    for part in ("dataset_spec", "network_def"):
        parser = ConfigParser(ConfigParser.load_config_file(BUNDLES / "clipseg_vpt" / "configs" / "evaluate.yaml"))
        parser.update(small | given)
        assert list(parser.get_parsed_content(part).class_names) == ["red square"]
        assert parser.get_parsed_content("splits_file") is None
        assert parser.get_parsed_content("method") == (None if method == "null" else method)


def test_a_wrong_value_is_found_before_the_base_model_is_loaded(small):
    broken = small | {"pretrained": "/nowhere", "dataset_dir": "/nowhere", "epochs": math.nan}
    with raises_inside(ValueError, "^epochs is nan"):
        workflow("clipseg_vpt", "train", "train", **broken)
