"""Targets by name and option, and the texts of their classes."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from monai_tunevlseg.transfer import read_target, read_text_mapping
from monai_tunevlseg.transfer.text_mapping import map_texts


@pytest.fixture
def run(source):
    """A run with two classes."""
    return replace(source, spec=replace(source.spec, class_names=["polyp", "Adenoma tissue"]))


def test_known_datasets_have_their_layout_and_classes(tmp_path, source):
    assert read_target("kvasir", tmp_path).spec(source).layout == "kvasir"
    assert read_target("echo", tmp_path).spec(source).encoding().class_names[1] == "myocardium"
    own = read_target("busi", tmp_path, {"class_names": ["breast tumor"]}).spec(source)
    assert (own.layout, own.class_names, own.every_slice) == ("busi", ["breast tumor"], True)


def test_a_folder_has_the_classes_and_the_image_settings_of_the_run(tmp_path, source):
    trained = replace(source, spec=replace(source.spec, intensity_window=[-160, 240], slice_axis=1))
    spec = read_target("hospital_b", tmp_path, {"layout": "folder", "mask_threshold": "128"}).spec(trained)
    assert (list(spec.class_names), spec.mask_threshold) == (["lesion"], 128)
    assert (spec.intensity_window, spec.slice_axis) == ([-160, 240], 1)
    other = read_target("hospital_b", tmp_path, {"layout": "folder", "intensity_window": [0, 10]}).spec(trained)
    assert other.intensity_window == [0, 10]


@pytest.mark.parametrize(
    ("name", "options", "values"),
    [
        ("kvasr", {}, r"'kvasr'.*did you mean 'kvasir'.*kvasr:layout=folder"),
        ("hospital", {"layout": "kvassir"}, r"layout is 'kvassir'"),
        ("kvasir", {"neutral_text": "x"}, r"kvasir.*'neutral_text'.*mask_threshold"),
        ("kvasir", {"mask_threshold": 300}, r"mask_threshold is 300"),
        ("../kvasir", {}, r"'\.\./kvasir'"),
    ],
)
def test_unknown_targets_and_options_are_refused(tmp_path, name, options, values):
    with pytest.raises(ValueError, match=values):
        read_target(name, tmp_path, options)


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.*kvasir"):
        read_target("kvasir", tmp_path / "nowhere")


def test_classes_map_by_name_or_by_the_given_text(run):
    assert map_texts("t", ["Polyp", "adenoma  tissue"], run, {}) == {
        "Polyp": "polyp",
        "adenoma  tissue": "Adenoma tissue",
    }
    assert map_texts("t", ["a", "b", "polyp"], run, {"a": "POLYP", "b": "adenoma tissue"}) == {
        **{"a": "polyp", "b": "Adenoma tissue"},
        "polyp": "polyp",
    }
    assert map_texts("t", ["polyp"], run, {"polyp": "adenoma tissue"}) == {"polyp": "Adenoma tissue"}
    assert map_texts("t", ["a", "polyp"], run, {}, skip_unmapped=True) == {"polyp": "polyp"}


@pytest.mark.parametrize(
    ("names", "given", "skip", "values"),
    [
        (["a", "polyp"], {}, False, r"target t .*'a'.*'polyp', 'Adenoma tissue'.*--texts.*--skip-unmapped"),
        (["a"], {}, True, r"'a'.*--texts"),
        (["polyp"], {"polip": "polyp"}, False, r"no class 'polip'.*'polyp'"),
        (["a"], {"a": "tumor"}, False, r"'tumor'.*'polyp', 'Adenoma tissue'"),
    ],
)
def test_texts_that_do_not_map_are_refused(run, names, given, skip, values):
    with pytest.raises(ValueError, match=values):
        map_texts("t", names, run, given, skip)


@pytest.mark.parametrize(
    ("content", "values"),
    [
        ({"kvasr": {"polyp": "polyp"}}, r"texts\.json has kvasr.*kvasir"),
        ({"kvasir": "polyp"}, r"texts\.json.*\$\.kvasir"),
        ({"kvasir": {"polyp": ""}}, r"texts\.json.*\$\.kvasir\.polyp"),
        ({"kvasir": {"polyp": "$print(1)"}}, r"texts\.json.*'\$print\(1\)'"),
        ([], r"texts\.json"),
    ],
)
def test_wrong_files_of_texts_are_refused(tmp_path, content, values):
    path = tmp_path / "texts.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=values):
        read_text_mapping(path, ["kvasir", "bkai"])


def test_a_file_of_texts_is_read(tmp_path):
    path = tmp_path / "texts.json"
    path.write_text('{"kvasir": {"polyp": "lesion"}}')
    assert read_text_mapping(path, ["kvasir", "bkai"]) == {"kvasir": {"polyp": "lesion"}}
