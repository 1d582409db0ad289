"""`tunevlseg datasets`, through the command line."""

from __future__ import annotations

import json
from inspect import signature

import multiclass_trees
import nibabel as nib
import numpy as np
import owners_trees
import pytest
from PIL import Image
from typer.testing import CliRunner

from monai_tunevlseg.__main__ import app
from monai_tunevlseg.commands import datasets
from monai_tunevlseg.data import LAYOUTS, DatasetSpec, build_datalists
from monai_tunevlseg.data.checks.dataset_check import MAX_DISTANCE
from monai_tunevlseg.data.forms import FORMS


@pytest.fixture
def run(monkeypatch):
    """Runs `tunevlseg datasets` on a wide screen."""
    monkeypatch.setenv("COLUMNS", "400")
    return lambda *arguments: CliRunner().invoke(app, ["datasets", *map(str, arguments)])


@pytest.fixture
def kvasir(tmp_path):
    folder = tmp_path / "kvasir"
    folder.mkdir()
    owners_trees.write_kvasir(folder)
    return folder


def words(text):
    """The text in one line, without the frames of tables."""
    return " ".join("".join(" " if letter in "│┃" else letter for letter in text).split())


def test_the_list_has_each_public_dataset_with_its_terms_and_source(run):
    result = run()
    assert result.exit_code == 0
    lines = words(result.stdout)
    for name in LAYOUTS:
        facts = LAYOUTS[name].info
        assert name in lines
        if facts is not None:
            assert facts.title in lines
            assert "/".join(str(size) if size else "-" for size in facts.sizes) in lines
            assert facts.source in result.stdout, "an address in one piece"
            assert facts.class_names[0] in lines and facts.class_names[-1] in lines
    assert "For any dataset: the layouts annotations, folder." in lines


def test_the_help_names_the_commands(run):
    lines = words(run("--help").stdout)
    assert "check" in lines and "convert" in lines


def test_check_prints_counts_and_warnings_and_exits_with_0(run, kvasir):
    result = run("check", "kvasir", kvasir)
    assert result.exit_code == 0
    lines = words(result.stdout)
    assert "train 10 10 0 polyp 10 800" in lines
    assert "warning (count): the folder holds 12 of the 1000 pairs of Kvasir-SEG" in lines
    assert "24 files opened; errors: 0, warnings: 2." in lines


def test_check_prints_the_errors_and_exits_with_1(run, kvasir):
    masks = sorted(kvasir.rglob("masks/*.jpg"))
    masks[0].unlink()
    masks[1].write_bytes(masks[1].read_bytes()[:100])
    result = run("check", "kvasir", kvasir)
    assert result.exit_code == 1
    lines = words(result.stdout)
    assert "error (missing): " in lines and masks[0].stem in lines
    assert "error (unreadable): " in lines and masks[1].name in lines


def test_check_gives_machines_json_and_nothing_else(run, kvasir):
    result = run("check", "kvasir", kvasir, "--json")
    report = json.loads(result.stdout)
    assert result.exit_code == 0
    assert report["ok"] is True
    assert report["splits"]["train"] == {"images": 10, "pairs": 10, "empty": 0, "classes": {"polyp": 10}}
    assert report["table_1"] == [800, 100, 100]
    assert [problem["kind"] for problem in report["warnings"]] == ["notice", "count"]
    gone = next(kvasir.rglob("images/*.jpg"))
    gone.unlink()
    result = run("check", "kvasir", kvasir, "--json")
    assert result.exit_code == 1
    (problem,) = json.loads(result.stdout)["errors"]
    assert problem["kind"] == "missing"
    assert problem["files"] == [str(gone.parent.parent / "masks" / gone.name)]


def test_many_problems_of_a_kind_are_cut_in_print_and_whole_in_json(run, tmp_path):
    multiclass_trees.write_annotations(tmp_path, 30)
    for mask in (tmp_path / "masks").iterdir():
        mask.write_bytes(b"")
    printed = words(run("check", "annotations", tmp_path, "--class-name", "polyp").stdout)
    assert printed.count("error (unreadable): ") == 11
    assert "error (unreadable): ... and 20 more; --json prints all" in printed
    report = json.loads(run("check", "annotations", tmp_path, "--class-name", "polyp", "--json").stdout)
    assert len(report["errors"]) == 30


def test_the_distance_of_near_duplicates_is_that_of_the_checker():
    (command,) = [command for command in datasets.app.registered_commands if command.callback is datasets.check]
    assert signature(command.callback).parameters["max_distance"].default == MAX_DISTANCE


def test_check_takes_the_arguments_of_training(run, tmp_path):
    multiclass_trees.write_annotations(tmp_path)
    arguments = ("check", "annotations", tmp_path, "--class-name", "polyp", "--json")
    assert json.loads(run(*arguments, "--text-source", "p2").stdout)["ok"]
    assert "needs published texts" in json.loads(run(*arguments, "--text-source", "p7").stdout)["errors"][0]["message"]
    report = json.loads(run(*arguments, "--group-pattern", "^cju0").stdout)
    assert {problem["kind"] for problem in report["errors"]} == {"patient"}
    report = json.loads(
        run("check", "folder", tmp_path, "--class-name", "x", "--label-value", "x=255", "--json").stdout
    )
    assert report["splits"]["train"]["pairs"] == 10
    assert "max_distance must be in 0..256 bits, not 300" in words(run(*arguments, "--max-distance", "300").output)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["check", "kvasirr", "."], "error: unknown dataset layout 'kvasirr'"),
        (["check", "folder", "."], "error: the layout 'folder' is for any dataset; give class_names"),
        (
            ["check", "folder", ".", "--class-name", "a", "--max-distance", "999"],
            "error: max_distance must be in 0..256 bits, not 999",
        ),
        (
            ["check", "folder", ".", "--class-name", "a", "--label-value", "a"],
            "error: --label-value 'a' must be CLASS=VALUE",
        ),
        (["convert", "kvasir", "nowhere", "out"], "nowhere is not a folder"),
    ],
)
def test_wrong_arguments_are_one_sentence_on_stderr(run, tmp_path, monkeypatch, arguments, reason):
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.exit_code == 1
    assert reason in result.stderr
    assert result.stdout == ""


@pytest.mark.filterwarnings("ignore:the published sizes")
def test_check_takes_a_window_for_ct(run, tmp_path):
    for number in range(3):
        for name, values in (("images", np.linspace(-1000, 400, 320)), ("masks", np.arange(320) > 100)):
            (tmp_path / name).mkdir(exist_ok=True)
            dtype = np.int16 if name == "images" else np.uint8
            image = nib.Nifti1Image(np.roll(values, number).reshape(8, 8, 5).astype(dtype), np.eye(4))
            nib.save(image, tmp_path / name / f"{number}.nii")
    arguments = ["check", "folder", tmp_path, "--class-name", "x", "--json"]
    kinds = [
        [problem["kind"] for problem in json.loads(run(*arguments, *more).stdout)["warnings"]]
        for more in ([], ["--intensity-window", "-160", "240"])
    ]
    assert ["range" in found for found in kinds] == [True, False]
    assert "intensity_window" in run(*arguments, "--intensity-window", "240", "-160").stderr


def test_convert_writes_the_folder_and_prints_how_to_read_it(run, kvasir, tmp_path):
    result = run("convert", "kvasir", kvasir, tmp_path / "out")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"12 images, 12 pairs, binary masks: {tmp_path / 'out'}",
        "layout: folder",
        'class_names: ["polyp"]',
    ]
    assert sum(map(len, build_datalists(DatasetSpec(tmp_path / "out", ["polyp"])).values())) == 12
    again = run("convert", "kvasir", kvasir, tmp_path / "out")
    assert again.exit_code == 1
    assert "error: " in again.stderr and str(tmp_path / "out") in again.stderr


def test_convert_for_nnunet_prints_its_commands(run, kvasir, tmp_path):
    output = tmp_path / "raw data" / "Dataset501_Kvasir"
    result = run("convert", "kvasir", kvasir, output, "--to", "nnunet")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"12 images, 12 pairs, label maps: {output}",
        f"export nnUNet_raw='{output.parent}'",
        "nnUNetv2_plan_and_preprocess -d 501 --verify_dataset_integrity",
        "nnUNetv2_train 501 2d 0",
        f"nnUNetv2_predict -d 501 -i '{output / 'imagesTs'}' -o PREDICTIONS -c 2d -f 0",
    ]
    refused = run("convert", "kvasir", kvasir, tmp_path / "Kvasir", "--to", "nnunet")
    assert refused.exit_code == 1 and "Dataset501_Kvasir" in refused.stderr


def test_the_help_of_convert_names_every_form(run):
    lines = words(run("convert", "--help").stdout)
    assert all(f"{form} (" in lines for form in FORMS)


def test_folders_and_classes_with_square_brackets_are_printed_as_they_are(run, tmp_path, monkeypatch):
    folder = tmp_path / "[raw]" / "x[" / "q]"
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
        for number in range(10):
            pixels = np.random.default_rng(number).integers(0, 2, (8, 9), dtype=np.uint8) * 255
            Image.fromarray(pixels).save(folder / part / f"{number}.png")
    result = run("check", "folder", folder, "--class-name", "[/x] polyp")
    assert result.exception is None or result.exit_code in (0, 1)
    assert str(folder) in words(result.stdout).replace(" ", "") or "[raw]/x[/q]" in words(result.stdout)
    assert "[/x] polyp 8" in words(result.stdout)


def test_names_can_be_read_on_a_narrow_screen(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = run().stdout
    for name in LAYOUTS:
        assert name in lines
