from __future__ import annotations

import json
import warnings
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from monai_tunevlseg.data import LAYOUTS, DatasetSpec, Layout, batch_pictures, build_datalists, build_inference_datalist


def stems(samples):
    return [Path(sample["image"]).name.split(".")[0] for sample in samples]


def test_drawn_splits_are_repeatable_written_and_can_be_handed_in_again(binary_folder, tmp_path):
    written = tmp_path / "results" / "splits.json"
    datalists = build_datalists(DatasetSpec(binary_folder, ["polyp"]), write_splits_to=written)
    assert {name: len(samples) for name, samples in datalists.items()} == {"train": 8, "val": 1, "test": 1}
    expected = {name: stems(samples) for name, samples in datalists.items()}
    assert json.loads(written.read_text()) == expected | {"dataset_dir": str(binary_folder)}
    assert build_datalists(DatasetSpec(binary_folder, ["polyp"])) == datalists
    assert build_datalists(DatasetSpec(binary_folder, ["polyp"], splits_file=written)) == datalists


def test_datalists_are_json_with_absolute_paths(binary_folder, monkeypatch):
    monkeypatch.chdir(binary_folder.parent)
    datalists = build_datalists(DatasetSpec(binary_folder.name, ["polyp"]))
    assert json.loads(json.dumps(datalists)) == datalists
    assert all(Path(sample["image"]).is_absolute() for samples in datalists.values() for sample in samples)


def write_splits(path, train, val, test):
    path.write_text(json.dumps({"train": train, "val": val, "test": test}))
    return path


def test_splits_in_the_folder_apply_and_a_given_file_takes_precedence(binary_folder, tmp_path):
    write_splits(binary_folder / "splits.json", ["case1"], ["case2"], ["case3", "case4"])
    with pytest.warns(UserWarning, match="6 images"):
        found = build_datalists(DatasetSpec(binary_folder, ["polyp"]))
    assert [stems(samples) for samples in found.values()] == [["case1"], ["case2"], ["case3", "case4"]]
    other = write_splits(tmp_path / "other.json", ["case5"], ["case6"], ["case7"])
    with pytest.warns(UserWarning, match="7 images"):
        found = build_datalists(DatasetSpec(binary_folder, ["polyp"], splits_file=other))
    assert stems(found["test"]) == ["case7"]


def test_volumes_stay_whole(volume_folder):
    datalists = build_datalists(DatasetSpec(volume_folder, ["a", "b"], slice_axis=0))
    assert [len(set(stems(samples))) for samples in datalists.values()] == [1, 1, 1]
    assert all(sample["slice_axis"] == 0 for sample in datalists["train"])


def test_label_values_and_threshold_reach_the_samples(volume_folder):
    chosen = build_datalists(DatasetSpec(volume_folder, ["b"], label_values={"b": 2}))
    assert [(sample["slice"], sample["label_value"]) for sample in chosen["train"]] == [(2, 2)]
    united = build_datalists(DatasetSpec(volume_folder, ["tumour"], mask_threshold=1))
    assert [(sample["slice"], sample["mask_threshold"]) for sample in united["train"]] == [(2, 1), (3, 1)]


def test_groups_stay_together_and_splits_that_divide_them_warn(tmp_path, save):
    for patient in range(4):
        for view in "xyz":
            for folder in ("images", "masks"):
                save(tmp_path / folder / f"p{patient}_{view}.png", np.zeros((2, 2), np.uint8))
    datalists = build_datalists(DatasetSpec(tmp_path, ["polyp"], group_pattern="^(p[0-9])_"))
    assert [len(samples) for samples in datalists.values()] == [6, 3, 3]
    assert len({stem[:2] for stem in stems(datalists["test"])}) == 1
    assert {sample["group"] for sample in datalists["test"]} == {stem[:2] for stem in stems(datalists["test"])}
    write_splits(tmp_path / "splits.json", ["p0_x"], ["p1_x"], ["p0_y"])
    with pytest.warns(UserWarning, match="'train' and 'test' share 1: p0"):
        build_datalists(DatasetSpec(tmp_path, ["polyp"], group_pattern="^(p[0-9])_"))


def test_without_a_pattern_samples_have_no_group(binary_folder):
    assert not any(
        "group" in sample
        for samples in build_datalists(DatasetSpec(binary_folder, ["polyp"])).values()
        for sample in samples
    )


def test_overlapping_splits_are_warned_of(binary_folder):
    names = [f"case{number}" for number in range(10)]
    write_splits(binary_folder / "splits.json", names, ["case2"], ["case3"])
    with pytest.warns(UserWarning) as caught:
        build_datalists(DatasetSpec(binary_folder, ["polyp"]))
    assert [str(warning.message) for warning in caught] == [
        "the splits 'train' and 'val' share 1: case2.",
        "the splits 'train' and 'test' share 1: case3.",
    ]


def test_clean_folder_gives_no_warning(binary_folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build_datalists(DatasetSpec(binary_folder, ["polyp"]))


def test_too_few_images_to_draw_from(tmp_path, save):
    for stem in "ab":
        save(tmp_path / "images" / f"{stem}.png", np.zeros((2, 2), np.uint8))
        save(tmp_path / "masks" / f"{stem}.png", np.zeros((2, 2), np.uint8))
    with pytest.raises(ValueError, match="split 'val' .*2 images"):
        build_datalists(DatasetSpec(tmp_path, ["polyp"]))


def test_empty_split(binary_folder):
    write_splits(binary_folder / "splits.json", ["case1"], [], ["case2"])
    with (
        pytest.warns(UserWarning, match="images: "),
        pytest.raises(ValueError, match="split 'val'"),
    ):
        build_datalists(DatasetSpec(binary_folder, ["polyp"]))


def test_split_without_any_class(volume_folder, save):
    save(volume_folder / "masks" / "b.nii.gz", np.zeros((6, 7, 5), np.uint8))
    write_splits(volume_folder / "splits.json", ["a"], ["c"], ["b"])
    with pytest.raises(ValueError, match="split 'test' .*1 images"):
        build_datalists(DatasetSpec(volume_folder, ["a", "b"]))


def test_nothing_is_written_when_something_is_wrong(binary_folder, tmp_path):
    write_splits(binary_folder / "splits.json", ["case1"], ["nobody"], ["case2"])
    with pytest.raises(ValueError, match="1 names in 'val' .*: nobody"):
        build_datalists(DatasetSpec(binary_folder, ["polyp"]), write_splits_to=tmp_path / "out" / "s.json")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "error", "reason"),
    [
        ({"dataset_dir": "/no/such/folder"}, FileNotFoundError, "dataset_dir /no/such/folder"),
        ({"layout": "foldr"}, ValueError, "'foldr'.*'folder'"),
        ({"slice_axis": 3}, ValueError, "slice_axis .*0, 1 or 2, not 3"),
        ({"class_names": "polyp"}, ValueError, "class_names .*'polyp'"),
        ({"splits_file": "/no/splits.json"}, FileNotFoundError, "splits file /no/splits.json"),
        ({"group_pattern": "^patient"}, ValueError, "group_pattern '.patient'"),
        ({"label_values": {"polp": 1}}, ValueError, "polp; .*polyp"),
    ],
)
def test_wrong_arguments_are_named(binary_folder, arguments, error, reason):
    with pytest.raises(error, match=reason):
        build_datalists(DatasetSpec(**{"dataset_dir": binary_folder, "class_names": ["polyp"]} | arguments))


@pytest.fixture
def register():
    """Return a function that registers a layout for the duration of a test; it reads as `folder` does."""
    with ExitStack() as stack:

        def add(name, **arguments):
            stack.enter_context(LAYOUTS.temporarily(name, Layout(**{"read": LAYOUTS["folder"].read} | arguments)))

        yield add


def test_a_new_layout_is_one_function_and_one_line(binary_folder, register):
    register("half", read=lambda folder, encoding, axis: LAYOUTS["folder"].read(folder, encoding, axis)[:5])
    found = build_datalists(DatasetSpec(binary_folder, ["polyp"], layout="half"))
    assert sum(map(len, found.values())) == 5


def by_hand(folder, cases, draw):
    return {"train": ["case1", "case2"], "val": ["case3"], "test": [case.stem for case in cases[4:6]]}


def test_given_splits_take_precedence_over_the_layouts_own(binary_folder, tmp_path, register):
    register("own", split=by_hand)
    found = build_datalists(DatasetSpec(binary_folder, ["polyp"], layout="own"), write_splits_to=tmp_path / "used.json")
    assert [stems(samples) for samples in found.values()] == [["case1", "case2"], ["case3"], ["case4", "case5"]]
    assert json.loads((tmp_path / "used.json").read_text())["test"] == ["case4", "case5"]
    write_splits(binary_folder / "splits.json", ["case5"], ["case6"], ["case7"])
    with pytest.warns(UserWarning, match="7 images"):
        assert stems(build_datalists(DatasetSpec(binary_folder, ["polyp"], layout="own"))["train"]) == ["case5"]
    given = write_splits(tmp_path / "given.json", ["case8"], ["case6"], ["case7"])
    with pytest.warns(UserWarning, match="7 images"):
        assert stems(
            build_datalists(DatasetSpec(binary_folder, ["polyp"], layout="own", splits_file=given))["train"]
        ) == ["case8"]


def test_a_layouts_group_holds_unless_another_is_given(tmp_path, save, register):
    for number in range(9):
        for folder in ("images", "masks"):
            save(tmp_path / folder / f"p{number // 3}_{'xyz'[number % 3]}.png", np.zeros((2, 2), np.uint8))
    register("own", group_pattern="^(p[0-9])", split=lambda folder, cases, draw: draw(stems_of(cases)))
    found = build_datalists(DatasetSpec(tmp_path, ["polyp"], layout="own"))
    assert [len({sample["group"] for sample in samples}) for samples in found.values()] == [1, 1, 1]
    assert {sample["group"] for samples in found.values() for sample in samples} == {"p0", "p1", "p2"}
    other = build_datalists(DatasetSpec(tmp_path, ["polyp"], layout="own", group_pattern="([xyz])$"))
    assert [len({sample["group"] for sample in samples}) for samples in other.values()] == [1, 1, 1]
    assert {sample["group"] for samples in other.values() for sample in samples} == {"x", "y", "z"}


def stems_of(cases):
    return [case.stem for case in cases]


def test_a_layouts_overlapping_splits_warn_and_repeated_stems_are_refused(binary_folder, register):
    register("own", split=lambda folder, cases, draw: dict.fromkeys(("train", "val", "test"), ["case1"]))
    with pytest.warns(UserWarning, match="'train' and 'test' share 1: case1"):
        build_datalists(DatasetSpec(binary_folder, ["polyp"], layout="own"))
    register("twice", read=lambda *arguments: LAYOUTS["folder"].read(*arguments) * 2)
    with pytest.raises(ValueError, match="stem case0, "):
        build_datalists(DatasetSpec(binary_folder, ["polyp"], layout="twice"))


def test_neutral_text_replaces_texts_and_leaves_classes(volume_folder):
    plain = build_datalists(DatasetSpec(volume_folder, ["a", "b"]))
    neutral = build_datalists(DatasetSpec(volume_folder, ["a", "b"], neutral_text="tumor"))
    assert {sample["class_name"] for sample in neutral["train"]} == {"a", "b"}
    assert neutral == {name: [sample | {"text": "tumor"} for sample in samples] for name, samples in plain.items()}
    assert {
        sample["text"] for sample in build_datalists(DatasetSpec(volume_folder, ["a", "b"], neutral_text=""))["val"]
    } == {""}


def with_texts(folder, encoding, axis):
    cases = LAYOUTS["folder"].read(folder, encoding, axis)
    for number, case in enumerate(cases):
        case.samples[0]["texts"] = {"p0": "", "p1": f"text {number}", "p2": ["one", "two", "three"]}
    return cases


def test_text_source_chooses_among_published_texts(binary_folder, register):
    register("published", read=with_texts)

    def texts(**arguments):
        found = build_datalists(DatasetSpec(binary_folder, ["polyp"], layout="published", **arguments))
        samples = sorted((sample for samples in found.values() for sample in samples), key=lambda item: item["image"])
        assert all("texts" not in sample and sample["class_name"] == "polyp" for sample in samples)
        return [sample["text"] for sample in samples]

    assert set(texts()) == {"polyp"}
    assert texts(text_source="p1") == [f"text {number}" for number in range(10)]
    assert set(texts(text_source="p0")) == {""}
    assert set(texts(text_source="p2")) == {"one", "two", "three"}
    assert texts(text_source="p2") == texts(text_source="p2")
    assert set(texts(text_source="p2", neutral_text="thing")) == {"thing"}
    with pytest.raises(ValueError, match="text_source 'p3' .*'published'"):
        texts(text_source="p3")


def test_splits_that_share_an_image_both_get_its_text(binary_folder, register):
    overlap = {"train": ["case1"], "val": ["case1", "case2"], "test": ["case2"]}
    register("published", read=with_texts, split=lambda folder, cases, draw: overlap)
    with pytest.warns(UserWarning, match="share 1"):
        found = build_datalists(DatasetSpec(binary_folder, ["polyp"], layout="published", text_source="p1"))
    assert found["train"][0] == found["val"][0] and found["train"][0]["text"] == "text 1"


@pytest.mark.parametrize("source", ["p10", "p", "class", "", None])
def test_unknown_text_source_is_refused(binary_folder, source):
    with pytest.raises(ValueError, match="text_source .*class_name, p0, .*p9, not"):
        build_datalists(DatasetSpec(binary_folder, ["polyp"], text_source=source))


def test_inference_takes_a_file_a_folder_or_its_images(binary_folder):
    expected = [{"image": str(path)} for path in sorted((binary_folder / "images").iterdir())]
    assert build_inference_datalist(binary_folder) == expected
    assert build_inference_datalist(binary_folder / "images") == expected
    assert build_inference_datalist(expected[3]["image"]) == [expected[3]]


def test_inference_without_images_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder .*nowhere"):
        build_inference_datalist(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=rf"{tmp_path} .*\.png"):
        build_inference_datalist(tmp_path)
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(ValueError, match=r": a\.txt;"):
        build_inference_datalist(tmp_path)
    with pytest.raises(ValueError, match=r"a\.txt .*\.png"):
        build_inference_datalist(tmp_path / "a.txt")


def test_pictures_come_in_batches_and_volumes_alone():
    names = ["a.png", "b.jpg", "c.tif", "d.nii.gz", "e.mhd", "f.png", "g.png"]
    datalist = [{"image": f"/data/{name}"} for name in names]
    assert batch_pictures(datalist, 2) == [[0, 1], [2], [3], [4], [5, 6]]
    assert batch_pictures(datalist, 9) == [[0, 1, 2], [3], [4], [5, 6]]
    assert batch_pictures(datalist, 1) == [[index] for index in range(7)]
    assert batch_pictures([], 4) == []
