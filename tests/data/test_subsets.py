"""Subsets are nested, of whole images, equal on every machine, and hold the images of each class that are asked for."""

from __future__ import annotations

import hashlib
import json
import unicodedata
import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from monai_tunevlseg.data import Case, DatasetSpec, Subset, build_datalists
from monai_tunevlseg.data.splits import draw_splits, group_by
from monai_tunevlseg.data.subsets import draw_subset

CLASSES = ["a", "b", "c"]
PATIENT = group_by(r"^(p\d+)_")
EMPTY, FULL = "1", "01"  # run lengths of a mask of one pixel


def case(stem, shown, looked_for=()):
    """An image that shows some classes, and has an empty mask of each other class that was looked for."""
    masks = dict.fromkeys(looked_for, EMPTY) | dict.fromkeys(shown, FULL)
    return Case(
        stem,
        [
            {"image": stem, "label": "masks.json", "class_name": name, "rle": {"size": [1, 1], "counts": counts}}
            for name, counts in masks.items()
        ],
    )


@st.composite
def datasets(draw):
    """Cases and their splits: images of up to ten patients, each of which shows some of the classes, or none."""
    images = draw(st.lists(st.tuples(st.integers(0, 9), st.sets(st.sampled_from(CLASSES))), min_size=12, max_size=40))
    looked_for = sorted(draw(st.sets(st.sampled_from(CLASSES))))
    cases = [case(f"p{patient}_{number}", sorted(shown), looked_for) for number, (patient, shown) in enumerate(images)]
    splits = draw_splits([each.stem for each in cases], PATIENT)
    assume(all(with_pairs(cases, stems) for stems in splits.values()))
    return cases, splits


def with_pairs(cases, stems):
    return [each.stem for each in cases if each.stem in stems and each.samples]


def showing(cases, stems, name):
    """Return those of the stems whose images show a class."""
    shown = {
        each.stem
        for each in cases
        if any(sample["class_name"] == name and sample["rle"]["counts"] == FULL for sample in each.samples)
    }
    return [stem for stem in stems if stem in shown]


def draw(dataset, group_of=PATIENT, **options):
    cases, splits = dataset
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return draw_subset(Subset(**options), splits, cases, CLASSES, group_of)


def draw_shots(dataset, num_shots, **options):
    cases, splits = dataset
    limited = ("train", "val") if options.get("val_fraction") == "same" else ("train",)
    assume(num_shots <= len(with_pairs(cases, splits["train"])))
    assume(all(any(showing(cases, splits[split], name) for name in CLASSES) for split in limited))
    return draw(dataset, num_shots=num_shots, **options)


properties = settings(deadline=None, max_examples=50)
SHOTS, SEEDS = st.integers(1, 8), st.integers(0, 3)
SHARES = st.integers(1, 100).map(lambda percent: percent / 100)


@properties
@given(datasets(), SHOTS, SEEDS)
def test_fewer_shots_are_part_of_more_shots(dataset, num_shots, seed):
    options = {"seed": seed, "val_fraction": "same"}
    more, fewer = draw_shots(dataset, num_shots + 1, **options), draw_shots(dataset, num_shots, **options)
    assert all(set(fewer[name]) <= set(more[name]) for name in fewer)


@properties
@given(datasets(), SHARES, SHARES, SEEDS)
def test_a_smaller_share_is_part_of_a_larger_one(dataset, one, other, seed):
    small, large = (
        draw(dataset, train_fraction=share, seed=seed, val_fraction="same") for share in sorted((one, other))
    )
    assert all(set(small[name]) <= set(large[name]) for name in small)


def test_the_check_of_nesting_finds_a_seed_that_depends_on_the_number_of_shots():
    cases = [case(f"p{number}_0", ["a"]) for number in range(20)]
    dataset = cases, {"train": [each.stem for each in cases], "val": [], "test": []}
    fewer, more = (draw_shots(dataset, count, seed=count) for count in (4, 8))
    assert not set(fewer["train"]) <= set(more["train"])


def expected_shots(cases, stems, class_name, num_shots, seed):
    """Sort the images that show a class by their place within their patient, then by patient."""

    def key(name):
        return hashlib.sha256(f"{seed} {name}".encode()).digest()

    there = sorted(showing(cases, stems, class_name), key=key)
    place = {stem: sum(PATIENT(other) == PATIENT(stem) for other in there[: there.index(stem)]) for stem in there}
    return sorted(there, key=lambda stem: (place[stem], key(PATIENT(stem))))[:num_shots]


@properties
@given(datasets(), SHOTS, SEEDS)
def test_every_class_has_its_shots_where_there_are_as_many_and_nothing_else_is_drawn(dataset, num_shots, seed):
    cases, splits = dataset
    found = draw_shots(dataset, num_shots, seed=seed)["train"]
    for name in CLASSES:
        there = showing(cases, splits["train"], name)
        assert len(showing(cases, found, name)) >= min(num_shots, len(there))
    wanted = [expected_shots(cases, splits["train"], name, num_shots, seed) for name in CLASSES]
    assert set(found) == set().union(*wanted)


@properties
@given(datasets(), SHARES)
def test_a_share_is_of_whole_patients_and_at_most_of_its_size(dataset, share):
    cases, splits = dataset
    found = draw(dataset, train_fraction=share)["train"]
    there = with_pairs(cases, splits["train"])
    patients = set(map(PATIENT, found))
    assert {stem for stem in there if PATIENT(stem) in patients} == set(found)
    assert len(patients) == 1 or len(found) <= Fraction(str(share)) * len(there)
    if share == 1:
        assert found == [stem for stem in splits["train"] if stem in there]


@properties
@given(datasets(), SHOTS, st.sampled_from([None, "same", 0.5]), st.randoms(use_true_random=False))
def test_any_order_of_the_images_gives_the_same_subset(dataset, num_shots, val_fraction, random):
    cases, splits = dataset
    found = draw_shots(dataset, num_shots, val_fraction=val_fraction)
    shuffled, order = list(cases), {name: list(stems) for name, stems in splits.items()}
    for listed in (shuffled, *order.values()):
        random.shuffle(listed)
    again = draw((shuffled, order), num_shots=num_shots, val_fraction=val_fraction)
    assert {name: sorted(stems) for name, stems in again.items()} == found


@properties
@given(datasets(), SHOTS, SEEDS)
def test_patients_stay_in_their_split_and_the_test_split_stays_whole(dataset, num_shots, seed):
    _, splits = dataset
    found = draw_shots(dataset, num_shots, seed=seed, val_fraction="same")
    assert found["test"] == splits["test"]
    assert all(found[name] and set(found[name]) <= set(splits[name]) for name in splits)
    patients = [set(map(PATIENT, stems)) for stems in found.values()]
    assert sum(map(len, patients)) == len(set().union(*patients))


def one_class(stems):
    return [case(stem, ["a"]) for stem in stems], {"train": list(stems), "val": ["p8_0"], "test": ["p9_0"]}


@pytest.mark.parametrize(
    ("seed", "order"),
    [(0, ["case4", "case3", "case2", "case0", "case5"]), (1, ["case4", "case6", "case2", "case1", "case5"])],
)
def test_known_draw(seed, order):
    """From sha256sum of "SEED NAME"; a change would give existing users other images for the same seed."""
    dataset = one_class([f"case{number}" for number in range(8)])
    for num_shots in range(1, 6):
        assert draw(dataset, None, num_shots=num_shots, seed=seed)["train"] == sorted(order[:num_shots])
        assert draw(dataset, None, train_fraction=num_shots / 8, seed=seed)["train"] == sorted(order[:num_shots])


def test_each_patient_gives_one_image_before_any_gives_a_second():
    cases, splits = one_class([f"p{patient}_{number}" for patient in range(5) for number in range(4)])
    patients = [list(map(PATIENT, draw((cases, splits), num_shots=count)["train"])) for count in (5, 7, 20)]
    assert [max(map(listed.count, listed)) for listed in patients] == [1, 2, 4]
    assert len(set(patients[0])) == 5


@pytest.mark.parametrize(("share", "count"), [(0.29, 29), (0.07, 7), (0.1, 10), (0.999, 99), (1, 100), (0.001, 1)])
def test_a_share_is_rounded_down_as_it_is_written(share, count):
    assert len(draw(one_class([f"{number}" for number in range(100)]), None, train_fraction=share)["train"]) == count


def test_another_normal_form_of_unicode_is_the_same_name():
    names = [f"{letter}{number}" for letter in "éüñ" for number in range(9)]
    composed, decomposed = (
        draw(one_class([unicodedata.normalize(form, name) for name in names]), None, num_shots=6)["train"]
        for form in ("NFC", "NFD")
    )
    assert [unicodedata.normalize("NFC", name) for name in decomposed] == composed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_shots": 4, "train_fraction": 0.5}, "num_shots is 4 and train_fraction is 0.5"),
        ({"num_shots": 0}, "num_shots is 0"),
        ({"train_fraction": 0}, "train_fraction is 0"),
        ({"train_fraction": 1.01}, "train_fraction is 1.01"),
        ({"train_fraction": float("nan")}, "train_fraction is nan"),
        ({"val_fraction": 0.0}, "val_fraction is 0.0"),
        ({"val_fraction": 2}, "val_fraction is 2"),
        ({"val_fraction": "all"}, "val_fraction is 'all'.* same"),
        ({"seed": -1}, "subset_seed is -1"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Subset(**options)


def test_more_shots_than_images_are_refused():
    dataset = one_class(["p1_0", "p1_1", "p2_0"])
    assert draw(dataset, num_shots=3)["train"] == ["p1_0", "p1_1", "p2_0"]
    with pytest.raises(ValueError, match="num_shots is 4.*'train' has 3 images"):
        draw(dataset, num_shots=4)


def rare(count):
    """Eight images for each split, each with class a; `count` of them show class b, and the others have it empty."""
    splits = {name: [f"{name}{number}" for number in range(8)] for name in ("train", "val", "test")}
    shown = {stem: ["a", "b"] if int(stem[-1]) < count else ["a"] for stems in splits.values() for stem in stems}
    return splits, [case(stem, classes, ["b"]) for stem, classes in shown.items()]


def test_a_class_with_fewer_images_is_named_in_a_warning():
    splits, cases = rare(2)
    with pytest.warns(UserWarning, match=r"num_shots is 3.*'b' \(2\)") as raised:
        found = draw_subset(Subset(3, val_fraction="same"), splits, cases, ["a", "b"])
    assert len(raised) == 1
    assert [len(showing(cases, found[name], "b")) for name in ("train", "val")] == [2, 2]
    with pytest.warns(UserWarning, match=r"num_shots is 1.*'b' \(0\)"):
        draw_subset(Subset(1), *rare(0), ["a", "b"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_subset(Subset(2), splits, cases, ["a", "b"])


def test_a_class_that_a_share_loses_is_named_in_a_warning():
    cases, splits = one_class([f"case{number}" for number in range(8)])
    cases = [case("case1", ["a", "b"]) if each.stem == "case1" else each for each in cases]  # the last one of seed 0
    with pytest.warns(UserWarning, match="share 0.5 of the split 'train'.*'b'"):
        draw_subset(Subset(train_fraction=0.5), splits, cases, ["a", "b"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_subset(Subset(train_fraction=1), splits, cases, ["a", "b", "c"])


@pytest.mark.parametrize(("options", "split"), [({}, "train"), ({"val_fraction": "same"}, "val")])
def test_masks_that_show_no_class_are_refused(options, split):
    splits, cases = rare(8)
    cases = [case(each.stem, [], ["a"]) if each.stem.startswith(split) else each for each in cases]
    with pytest.raises(ValueError, match=f"num_shots is 1.*'{split}' shows 'a'"):
        draw_subset(Subset(1, **options), splits, cases, ["a"])


def folder_lists(folder, subset=None, names=("polyp",), **arguments):
    return build_datalists(
        DatasetSpec(folder, names, **arguments), write_splits_to=folder / "run" / "splits.json", subset=subset
    )


def stems(samples):
    return sorted({Path(sample["image"]).name.partition(".")[0] for sample in samples})


def test_the_splits_file_of_a_run_lists_the_images_in_use_and_those_left_out(binary_folder, save):
    whole = {name: stems(samples) for name, samples in folder_lists(binary_folder).items()}
    found = {name: stems(samples) for name, samples in folder_lists(binary_folder, Subset(3)).items()}
    written = json.loads((binary_folder / "run" / "splits.json").read_text())
    assert len(found["train"]) == 3 and (found["val"], found["test"]) == (whole["val"], whole["test"])
    assert {name: written[name] for name in found} == found
    assert written["left_out"] == sorted(set(whole["train"]) - set(found["train"]))
    spec = DatasetSpec(binary_folder, ["polyp"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # they were left out on purpose
        assert {
            name: stems(samples)
            for name, samples in build_datalists(spec, trained_splits=binary_folder / "run" / "splits.json").items()
        } == found
    for part in ("images", "masks"):
        save(binary_folder / part / "new.png", np.zeros((4, 4), np.uint8))
    with pytest.warns(UserWarning, match="leaves out 1 images: new"):
        build_datalists(spec, trained_splits=binary_folder / "run" / "splits.json")


def test_an_image_without_foreground_is_not_a_shot_but_part_of_a_share(binary_folder):
    splits = {"train": [f"case{number}" for number in range(8)], "val": ["case8"], "test": ["case9"]}
    (binary_folder / "splits.json").write_text(json.dumps(splits))
    assert stems(folder_lists(binary_folder, Subset(7))["train"]) == splits["train"][1:]
    with pytest.warns(UserWarning, match=r"num_shots is 8.*'polyp' \(7\)"):
        assert stems(folder_lists(binary_folder, Subset(8))["train"]) == splits["train"][1:]
    assert stems(folder_lists(binary_folder, Subset(train_fraction=1))["train"]) == splits["train"]


@pytest.mark.parametrize("neutral_text", [None, "thing"])
@pytest.mark.parametrize("every_slice", [False, True])
def test_a_volume_is_one_image_with_all_its_pairs(volume_folder, neutral_text, every_slice):
    folder = volume_folder
    (folder / "splits.json").write_text(json.dumps({"train": ["a", "b"], "val": ["c"], "test": ["c"]}))
    with pytest.warns(UserWarning, match="share 1: c"):
        train = folder_lists(
            folder, Subset(1), ["organ", "lesion"], every_slice=every_slice, neutral_text=neutral_text
        )["train"]
    assert len(stems(train)) == 1
    assert len(train) == (10 if every_slice else 3)
    assert {sample["text"] for sample in train} == ({neutral_text} if neutral_text else {"organ", "lesion"})


def test_label_maps_of_several_classes(tmp_path, save):
    """Of ten training images, two show class b and eight class a."""
    for number in range(12):
        save(tmp_path / "images" / f"{number:02}.png", np.zeros((4, 4, 3), np.uint8))
        save(tmp_path / "masks" / f"{number:02}.png", np.full((4, 4), 2 if number in (3, 7, 10) else 1, np.uint8))
    names = [f"{number:02}" for number in range(12)]
    (tmp_path / "splits.json").write_text(json.dumps({"train": names[:10], "val": names[10:], "test": names[11:]}))
    with pytest.warns(UserWarning, match="share 1: 11"):
        found = folder_lists(tmp_path, Subset(2, val_fraction="same"), ["a", "b"])
    assert {"03", "07"} < set(stems(found["train"])) and len(stems(found["train"])) == 4
    assert stems(found["val"]) == ["10", "11"]
