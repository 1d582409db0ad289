"""Size, mean and standard deviation of a base model's images, from all forms of processor files."""

from __future__ import annotations

import json
import logging
import re
import shutil
from pathlib import Path

import pytest
from transformers import CLIPSegConfig, ViTImageProcessorPil

from monai_tunevlseg.networks import load_clipseg, load_cris

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


@pytest.fixture
def folder(tiny_clipseg_dir, tmp_path) -> Path:
    """A copy of the tiny CLIPSeg, whose config says 24 pixels."""
    return shutil.copytree(tiny_clipseg_dir, tmp_path / "base")


def write(folder: Path, name: str = "preprocessor_config.json", **entries) -> None:
    (folder / name).write_text(json.dumps(entries))


def test_the_published_configuration_says_224_and_the_processor_352(tmp_path):
    """The form of transformers' conversion script."""
    assert CLIPSegConfig(vision_config={"patch_size": 16}).vision_config.image_size == 224
    ViTImageProcessorPil(size=352).save_pretrained(tmp_path)
    assert json.loads((tmp_path / "preprocessor_config.json").read_text())["size"] == {"height": 352, "width": 352}


@pytest.mark.parametrize(
    "size",
    [352, {"height": 352, "width": 352}, {"shortest_edge": 352}, [352, 352]],
    ids=["int", "both", "edge", "list"],
)
def test_the_size_is_the_processors_in_every_form(size, folder):
    write(folder, size=size, image_mean=MEAN, image_std=STD)
    base = load_clipseg(folder)
    assert base.model.config.vision_config.image_size == 24
    assert (base.image_size, base.image_mean, base.image_std) == (352, MEAN, STD)


def test_mean_and_standard_deviation_are_the_processors(folder):
    write(folder, size=40, image_mean=[0.5, 0.25, 0], image_std=[1, 0.5, 0.25])
    base = load_clipseg(folder)
    assert (base.image_size, base.image_mean, base.image_std) == (40, [0.5, 0.25, 0.0], [1.0, 0.5, 0.25])


def test_a_processor_that_does_not_normalize_leaves_images_alone(folder):
    write(folder, size=32, image_mean=MEAN, image_std=STD, do_normalize=False)
    base = load_clipseg(folder)
    assert (base.image_mean, base.image_std) == ([0, 0, 0], [1, 1, 1])


def test_what_the_processor_leaves_out_is_clipsegs(folder):
    write(folder, feature_extractor_type="ViTFeatureExtractor")
    base = load_clipseg(folder)
    assert (base.image_size, base.image_mean, base.image_std) == (24, MEAN, STD)


def test_the_form_of_transformers_5_counts_first(folder):
    """The file of a processor, with the image processor below a key."""
    write(folder, size=32)
    write(folder, "processor_config.json", processor_class="CLIPSegProcessor", image_processor={"size": 48})
    assert load_clipseg(folder).image_size == 48
    write(folder, "processor_config.json", processor_class="CLIPSegProcessor")
    assert load_clipseg(folder).image_size == 32


def test_without_a_processor_the_config_counts_and_a_warning_says_so(folder, caplog):
    (folder / "preprocessor_config.json").unlink()
    with caplog.at_level(logging.WARNING):
        base = load_clipseg(folder)
    assert (base.image_size, base.image_mean, base.image_std) == (24, MEAN, STD)
    assert f"{folder} has no preprocessor_config.json" in caplog.text
    assert "24 pixels" in caplog.text


def test_with_a_processor_nothing_is_said(folder, caplog):
    with caplog.at_level(logging.WARNING):
        load_clipseg(folder)
    assert "preprocessor_config" not in caplog.text


@pytest.mark.parametrize(
    "size",
    [
        0,
        -8,
        33,
        8192,
        10**9,
        1.5,
        "352",
        True,
        {"height": 32, "width": 64},
        {"height": 32},
        {"longest_edge": 9},
        [32],
        {},
    ],
)
def test_a_size_of_no_square_is_refused_with_the_file(size, folder):
    write(folder, size=size)
    with pytest.raises(ValueError, match=r"base/preprocessor_config\.json .*\bsize\b"):
        load_clipseg(folder)


@pytest.mark.parametrize("what", ["image_mean", "image_std"])
@pytest.mark.parametrize(
    "values", [[1, 2], 0.5, "abc", [1, 2, "3"], [1, 2, None], [0.1, 0.2, float("inf")], [True] * 3]
)
def test_other_than_three_numbers_are_refused_with_the_file(what, values, folder):
    write(folder, size=32, **{what: values})
    with pytest.raises(ValueError, match=rf"base/preprocessor_config\.json .*\b{what}\b"):
        load_clipseg(folder)


@pytest.mark.parametrize("std", [[0, 1, 1], [-1, 1, 1]])
def test_a_deviation_that_is_not_positive_is_refused(std, folder):
    write(folder, size=32, image_std=std)
    with pytest.raises(ValueError, match=rf"image_std {re.escape(repr([float(value) for value in std]))}.*\b0\b"):
        load_clipseg(folder)


@pytest.mark.parametrize("content", ["{", "[]", "3", "\x00"])
def test_a_damaged_processor_file_is_named(content, folder):
    (folder / "preprocessor_config.json").write_text(content)
    with pytest.raises(ValueError, match=r"base/preprocessor_config\.json"):
        load_clipseg(folder)


def test_a_processor_file_overrides_the_size_of_cris_and_clips_mean(tiny_cris_dir, tmp_path):
    folder = shutil.copytree(tiny_cris_dir, tmp_path / "base")
    base = load_cris(folder)
    assert (base.image_size, base.image_mean) == (64, [0.48145466, 0.4578275, 0.40821073])
    write(folder, size=96, image_mean=MEAN, image_std=STD)
    base = load_cris(folder)
    assert (base.image_size, base.image_mean, base.image_std) == (96, MEAN, STD)
