from __future__ import annotations

import json
import re
import warnings
from dataclasses import replace
from pathlib import Path

import multiclass_trees
import numpy as np
import owners_trees
import pytest
from PIL import Image, ImageFilter

from monai_tunevlseg.data import LAYOUTS, DatasetSpec
from monai_tunevlseg.data.checks.dataset_check import MAX_DISTANCE, DatasetReport, check_dataset

WRITERS = owners_trees.WRITERS | multiclass_trees.WRITERS
FORMS = {name: (name, writer) for name, writer in WRITERS.items()} | owners_trees.FORMS
STEMS = [f"case{number:02d}" for number in range(20)]
SPLITS = {"train": STEMS[:14], "val": STEMS[14:17], "test": STEMS[17:]}


def picture(seed: int) -> Image.Image:
    """A picture of 192 x 160 with large forms and texture, unlike that of any other seed."""
    rng = np.random.default_rng(seed)
    forms = Image.fromarray(rng.integers(0, 256, (10, 12, 3), dtype=np.uint8)).resize(
        (192, 160), Image.Resampling.BICUBIC
    )
    texture = rng.normal(0, 8, (160, 192, 3))
    return Image.fromarray((np.asarray(forms) + texture).clip(0, 255).astype(np.uint8))


def disc(seed: int) -> np.ndarray:
    rows, columns = np.mgrid[:160, :192]
    return np.where((rows - 30 - seed % 9) ** 2 + (columns - 50) ** 2 < 200, 255, 0).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Twenty good pairs."""
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for seed, stem in enumerate(STEMS):
        picture(seed).save(tmp_path / "images" / f"{stem}.png")
        Image.fromarray(disc(seed)).save(tmp_path / "masks" / f"{stem}.png")
    (tmp_path / "splits.json").write_text(json.dumps(SPLITS))
    return tmp_path


def check(folder: Path, layout: str = "folder", max_distance: int = MAX_DISTANCE, **arguments) -> DatasetReport:
    arguments.setdefault("class_names", ["polyp"] if LAYOUTS[layout].info is None else None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # issues of the report are not also Python warnings
        report = check_dataset(DatasetSpec(folder, layout=layout, **arguments), max_distance)
    json.dumps(report.to_json())
    return report


def kinds(issues):
    found: dict[str, int] = {}
    for issue in issues:
        found[issue.kind] = found.get(issue.kind, 0) + 1
    return found


def only(issues, kind):
    (issue,) = [issue for issue in issues if issue.kind == kind]
    return issue


def test_a_folder_in_order(folder):
    report = check(folder)
    assert (report.errors, report.warnings) == ([], [])
    assert report.to_json()["ok"] is True
    assert {name: (split.images, split.pairs, split.empty) for name, split in report.splits.items()} == {
        "train": (14, 14, 0),
        "val": (3, 3, 0),
        "test": (3, 3, 0),
    }
    assert report.splits["train"].classes == {"polyp": 14}
    assert report.files == 40
    assert report.table_1 is None


@pytest.mark.parametrize("form", sorted(FORMS))
def test_the_tree_of_every_layout_is_in_order(tmp_path, form):
    name, writer = FORMS[form]
    truth = writer(tmp_path)
    report = check(tmp_path, name)
    assert report.errors == []
    assert sum(split.images for split in report.splits.values()) == sum(bool(masks) for masks in truth.values())
    assert sum(split.pairs for split in report.splits.values()) == sum(map(len, truth.values()))
    empty = sum(not mask.any() for masks in truth.values() for mask in masks.values())
    assert sum(split.empty for split in report.splits.values()) == empty
    info = LAYOUTS[name].info
    expected = {"notice"} | ({"count"} if info is None or any(info.sizes) else set())
    expected |= {"empty mask"} if empty else set()
    expected |= {"text"} if name == "busi" else set()
    expected |= {"sequence"} if name == "clinicdb" else set()
    assert set(kinds(report.warnings)) <= expected
    assert info is None or set(kinds(report.warnings)) >= expected - {"notice"}


def test_everything_that_is_wrong_is_found_at_once(folder):
    images, masks = folder / "images", folder / "masks"
    (masks / "case00.png").unlink()
    (images / "case01.png").unlink()
    half(images / "case02.png")
    half(masks / "case03.png")
    (images / "case04.png").write_bytes(b"")
    Image.fromarray(disc(5)[:-1]).save(masks / "case05.png")
    Image.fromarray(np.where(disc(6) > 0, 77, 3).astype(np.uint8)).save(masks / "case06.png")
    Image.new("L", (192, 160)).save(masks / "case07.png")
    (images / "case17.png").write_bytes((images / "case08.png").read_bytes())
    (images / "case18.png").unlink()
    picture(9).save(images / "case18.jpg", quality=60)
    picture(10).resize((96, 80)).resize((192, 160)).save(images / "case14.png")
    (images / "notes.txt").write_text("x")
    report = check(folder)
    wrong = {"missing": 1, "unreadable": 3, "size": 1, "encoding": 1, "duplicate": 1, "extra": 1}
    assert kinds(report.errors) == wrong
    assert kinds(report.warnings) == {"empty mask": 1, "near-duplicate": 2}
    missing = only(report.errors, "missing")
    assert set(missing.files) == {str(images / "case00.png"), str(masks / "case01.png")}
    unreadable = {file for issue in report.errors if issue.kind == "unreadable" for file in issue.files}
    assert unreadable == {str(images / "case02.png"), str(masks / "case03.png"), str(images / "case04.png")}
    assert set(only(report.errors, "size").files) == {str(folder / part / "case05.png") for part in ("images", "masks")}
    assert only(report.errors, "encoding").files == (str(masks / "case06.png"),)
    assert only(report.errors, "extra").files == (str(images / "notes.txt"),)
    assert only(report.warnings, "empty mask").files == (str(masks / "case07.png"),)
    assert set(only(report.errors, "duplicate").files) == {str(images / f"case{n}.png") for n in ("08", "17")}
    assert (
        "(train)" in only(report.errors, "duplicate").message and "(test)" in only(report.errors, "duplicate").message
    )
    near = {frozenset(Path(file).name for file in issue.files) for issue in report.warnings if len(issue.files) == 2}
    assert near == {frozenset({"case09.png", "case18.jpg"}), frozenset({"case10.png", "case14.png"})}
    assert not report.to_json()["ok"]
    assert report.splits["test"].pairs == 3


def half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_a_copy_of_the_folder_is_one_of_bytes_in_any_number_of_places(folder):
    content = (folder / "images" / "case00.png").read_bytes()
    for stem in ("case01", "case15", "case19"):
        (folder / "images" / f"{stem}.png").write_bytes(content)
    report = check(folder)
    assert kinds(report.errors) == {"duplicate": 1}
    assert [Path(file).stem for file in report.errors[0].files] == ["case00", "case01", "case15", "case19"]
    assert kinds(report.warnings) == {"contradiction": 1}, "copies are not also near-duplicates"


def test_copies_within_a_split_and_their_masks_give_warnings_only(folder):
    (folder / "images" / "case01.png").write_bytes((folder / "images" / "case00.png").read_bytes())
    report = check(folder)
    assert report.errors == []
    assert kinds(report.warnings) == {"copies in one split": 1, "contradiction": 1}
    assert "different masks (Dice 9" in only(report.warnings, "contradiction").message
    (folder / "masks" / "case01.png").write_bytes((folder / "masks" / "case00.png").read_bytes())
    assert kinds(check(folder).warnings) == {"copies in one split": 1}


def test_copies_with_other_classes_are_named(folder):
    (folder / "masks" / "a").mkdir()
    (folder / "masks" / "b").mkdir()
    for number, path in enumerate(sorted((folder / "masks").glob("*.png"))):
        path.rename(path.parent / "ab"[number % 2] / path.name)
    (folder / "images" / "case01.png").write_bytes((folder / "images" / "case00.png").read_bytes())
    issue = only(check(folder, class_names=["a", "b"]).warnings, "contradiction")
    assert "different classes (a, b)" in issue.message


def test_similar_frames_are_one_group_of_any_size(folder):
    rng = np.random.default_rng(0)
    for number in range(60):
        frame = np.asarray(picture(0)) + rng.normal(0, 3, (160, 192, 3))
        Image.fromarray(frame.clip(0, 255).astype(np.uint8)).save(folder / "images" / f"frame{number}.png")
        Image.fromarray(disc(0)).save(folder / "masks" / f"frame{number}.png")
    (folder / "splits.json").unlink()
    report = check(folder)
    issue = only(report.warnings, "near-duplicate")
    assert len(issue.files) == 61 and len(issue.message) < 1000
    assert issue.message.startswith("61 images")


@pytest.mark.parametrize("arguments", [{"label_values": {"polyp": 1}}, {"mask_threshold": 200}])
def test_values_and_thresholds_that_no_mask_holds_are_wrong(folder, arguments):
    for path in (folder / "masks").iterdir():
        Image.fromarray(np.asarray(Image.open(path)) // 2).save(path)
    message = only(check(folder, **arguments).errors, "encoding").message
    assert "polyp = 1, which no mask holds" in message or "200 is above every value" in message


def test_a_layout_that_finds_nothing_is_wrong(tmp_path):
    for name in ("images", "masks/polyp"):
        (tmp_path / name).mkdir(parents=True)
    assert check(tmp_path).errors
    picture(0).save(tmp_path / "images" / "case00.png")
    assert str(tmp_path / "masks") in only(check(tmp_path).errors, "missing").message


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image,
        lambda image: image.resize((image.width // 2, image.height // 2)),
        lambda image: image.convert("L"),
        lambda image: image.filter(ImageFilter.GaussianBlur(0.7)),
    ],
)
def test_near_duplicates_are_found_up_to_the_given_distance(folder, change):
    (folder / "images" / "case19.png").unlink()
    changed = change(picture(0))
    changed.save(folder / "images" / "case19.jpg", quality=50)
    Image.fromarray(disc(19)).resize(changed.size, 0).save(folder / "masks" / "case19.png")
    issue = only(check(folder).warnings, "near-duplicate")
    assert [Path(file).name for file in issue.files] == ["case00.png", "case19.jpg"]
    assert "(train)" in issue.message and "(test)" in issue.message
    assert check(folder, max_distance=0).warnings == []
    with pytest.raises(ValueError, match=r"max_distance .*0\.\.256 .*257"):
        check(folder, max_distance=257)


def test_splits_that_share_images_or_patients(folder):
    (folder / "splits.json").write_text(json.dumps(SPLITS | {"val": [*SPLITS["val"], "case00"]}))
    report = check(folder, group_pattern=r"^case(\d)")
    assert kinds(report.errors) == {"overlap": 1, "patient": 3}
    assert only(report.errors, "overlap").files == (str(folder / "images" / "case00.png"),)
    assert {issue.message.split(";")[0] for issue in report.errors if issue.kind == "patient"} == {
        "the splits train and val share 2 patients (groups): 0, 1",
        "the splits train and test share 1 patients (groups): 1",
        "the splits val and test share 1 patients (groups): 1",
    }


def test_splits_that_cannot_be_read_do_not_hide_the_rest(folder):
    (folder / "masks" / "case00.png").write_bytes(b"")
    (folder / "splits.json").write_text("{")
    report = check(folder)
    assert kinds(report.errors) == {"unreadable": 1, "splits": 1}
    assert {name: split.pairs for name, split in report.splits.items()} == {"all": 19}


def test_unknown_names_in_the_splits_are_errors_unless_files_were_lost(folder):
    splits = SPLITS | {"test": [*SPLITS["test"], "ghost"]}
    (folder / "splits.json").write_text(json.dumps(splits))
    assert "1 names in 'test' belong to no image: ghost" in only(check(folder).errors, "splits").message
    (folder / "masks" / "case00.png").unlink()
    report = check(folder)
    assert kinds(report.errors) == {"missing": 1}
    assert report.splits["train"].pairs == 13


def test_an_empty_split_is_wrong(folder):
    (folder / "splits.json").write_text(json.dumps(SPLITS | {"val": []}))
    report = check(folder)
    assert only(report.errors, "splits").message.startswith("the split 'val' ")
    assert "3 images" in only(report.warnings, "notice").message


def test_images_in_no_split_are_opened_too_and_share_nothing(folder):
    (folder / "splits.json").write_text(json.dumps(SPLITS | {"train": STEMS[2:14]}))
    (folder / "images" / "case19.png").write_bytes((folder / "images" / "case00.png").read_bytes())
    half(folder / "images" / "case01.png")
    report = check(folder)
    assert kinds(report.errors) == {"unreadable": 1}
    assert {name: split.pairs for name, split in report.splits.items()} == {
        "train": 12,
        "val": 3,
        "test": 3,
        "left out": 2,
    }


def test_a_folder_that_is_not_there_or_empty(tmp_path):
    for wrong in (tmp_path / "nowhere", tmp_path):
        report = check(wrong)
        assert kinds(report.errors) == {"missing": 1}
        assert report.splits == {} or report.splits["all"].pairs == 0


def test_wrong_arguments_are_refused(folder):
    with pytest.raises(ValueError, match="'kvasirr': .*'kvasir'"):
        check_dataset(DatasetSpec(folder, layout="kvasirr"))
    with pytest.raises(ValueError, match="'folder' .*class_names"):
        check_dataset(DatasetSpec(folder))
    with pytest.raises(ValueError, match="slice_axis .*0, 1 or 2, not 3"):
        DatasetSpec(folder, ["polyp"], slice_axis=3)
    assert "text_source 'p1'" in only(check(folder, text_source="p1").errors, "text").message


# ---------------------------------------------------------------- texts


def write_lists(folder: Path, text_of) -> None:
    (folder / "anns").mkdir()
    for split, stems in SPLITS.items():
        entries = [
            {"img_name": f"{stem}.png", "mask_name": f"{stem}.png", "prompts": {"p1": text_of(stem)}} for stem in stems
        ]
        (folder / "anns" / f"{split}.json").write_text(json.dumps(entries))
    (folder / "splits.json").unlink()


def empty_masks(folder: Path, *stems: str) -> None:
    for stem in stems:
        Image.new("L", (192, 160)).save(folder / "masks" / f"{stem}.png")


def test_texts_that_give_the_answer_away(folder):
    empty_masks(folder, "case03", "case18")
    nothing = {"case03": "No tumor in the image.", "case18": "Breast tissue."}
    write_lists(folder, lambda stem: nothing.get(stem, "Tumor in the image."))
    report = check(folder, "annotations", text_source="p1")
    assert report.errors == []
    absent, told = [issue for issue in report.warnings if issue.kind == "text"]
    assert "1 pairs" in absent.message and "'No tumor in the image.'" in absent.message
    assert [Path(file).stem for file in absent.files] == ["case03"]
    assert told.message.startswith("2 of 2 pairs")
    assert "'No tumor in the image.', 'Breast tissue.'" in told.message
    # neither a class name that is the same for all nor a neutral text reveals anything
    assert kinds(check(folder, "annotations").warnings) == {"empty mask": 1}
    assert kinds(check(folder, "annotations", text_source="p1", neutral_text="no tumor").warnings) == {"empty mask": 1}


def test_texts_that_empty_masks_share_with_others_tell_nothing(folder):
    empty_masks(folder, "case03")
    write_lists(folder, lambda stem: "Tumor." if stem in ("case03", "case04") else "Large tumor.")
    assert kinds(check(folder, "annotations", text_source="p1").warnings) == {"empty mask": 1}


# ---------------------------------------------------------------- Table 1


@pytest.fixture
def kvasir(folder):
    """A dataset of twenty pairs that the paper gives as 14/3/3."""
    info = replace(LAYOUTS["kvasir"].info, sizes=(14, 3, 3))
    with LAYOUTS.temporarily("twenty", replace(LAYOUTS["kvasir"], info=info, split=None)):
        yield folder


def lose(folder: Path, *stems: str) -> None:
    for stem in stems:
        for name in ("images", "masks"):
            (folder / name / f"{stem}.png").unlink()


def test_the_sizes_of_table_1(kvasir):
    report = check(kvasir, "twenty")
    assert (report.errors, report.warnings, report.table_1) == ([], [], (14, 3, 3))


def test_a_set_that_looks_complete_and_is_not_is_wrong(kvasir):
    lose(kvasir, "case00")
    (kvasir / "splits.json").write_text(json.dumps(SPLITS | {"train": STEMS[1:14]}))
    message = only(check(kvasir, "twenty").errors, "count").message
    assert re.search(r"\b19 pairs.* Kvasir-SEG has 20\b", message)


def test_a_part_of_a_set_is_a_warning(kvasir):
    lose(kvasir, *STEMS[:3])
    (kvasir / "splits.json").write_text(json.dumps(SPLITS | {"train": STEMS[3:14]}))
    report = check(kvasir, "twenty")
    assert report.errors == []
    assert "17 of the 20 pairs of Kvasir-SEG" in only(report.warnings, "count").message


def test_other_split_sizes_warn_if_given_by_the_user_and_else_are_errors(kvasir):
    (kvasir / "splits.json").write_text(json.dumps(SPLITS | {"train": STEMS[:13], "val": STEMS[13:17]}))
    report = check(kvasir, "twenty")
    assert report.errors == []
    assert re.search("13/4/3 pairs.* 14/3/3", only(report.warnings, "count").message)
    (kvasir / "splits.json").unlink()  # 80/10/10 are drawn
    assert "16/2/2 pairs" in only(check(kvasir, "twenty").errors, "count").message


def test_train_and_val_count_as_train_where_the_paper_has_no_val(folder):
    info = replace(LAYOUTS["kvasir"].info, sizes=(17, 0, 3))
    with LAYOUTS.temporarily("seventeen", replace(LAYOUTS["kvasir"], info=info)):
        report = check(folder, "seventeen")
    assert (report.errors, report.warnings) == ([], [])


def test_a_dataset_that_is_not_in_table_1_is_not_compared_with_it(folder):
    info = replace(LAYOUTS["kvasir"].info, sizes=(0, 0, 0))
    with LAYOUTS.temporarily("unpublished", replace(LAYOUTS["kvasir"], info=info, split=None)):
        report = check(folder, "unpublished")
    assert (report.errors, report.warnings, report.table_1) == ([], [], None)


def test_an_empty_folder_is_an_error_and_not_a_part_of_the_dataset(tmp_path):
    report = check(tmp_path, "kvasir")
    assert (kinds(report.errors), kinds(report.warnings)) == ({"missing": 1}, {})


def test_table_1_does_not_apply_to_other_classes(tmp_path):
    multiclass_trees.write_pascal_voc(tmp_path, 30)
    assert check(tmp_path, "pascal_voc", class_names=["dog", "cat"]).table_1 is None
