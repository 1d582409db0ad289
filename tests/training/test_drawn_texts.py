"""The texts that training draws for each image and epoch."""

import re
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.engines import PrepareBatchExtraInput

from monai_tunevlseg.data import IGNORE_INDEX, DatasetSpec
from monai_tunevlseg.data.absent_texts import POOL_FILE
from monai_tunevlseg.json_files import read_json_object
from monai_tunevlseg.segmentation import Segmentation
from monai_tunevlseg.training import (
    NegativeTextLoss,
    PairDiceCELoss,
    PrepareBatchDrawnTexts,
    SeededDataset,
    with_pool_texts,
)

CLASSES = ["cat", "dog", "cow", "owl"]
OWN = ["a car", "a tree", "a bus"]


def sample(image, class_name, **more):
    return {"image": image, "label": f"{image}_mask", "class_name": class_name, "text": class_name} | more


def map_samples(shown):
    """Return the pairs of images whose label maps show these classes."""
    return [
        sample(f"{number}", name, label_value=1 + CLASSES.index(name))
        for number, names in enumerate(shown)
        for name in names
    ]


def prepare(samples, count, source, seed=0, epoch=1, others=(), **more):
    dataset = SeededDataset(samples, [], seed=seed)
    dataset.set_epoch(epoch)
    inner = PrepareBatchExtraInput({"text": "text"})
    return PrepareBatchDrawnTexts(inner, dataset, DatasetSpec("data", CLASSES), others, count, source, **more)


def batch_of(made, numbers, label=None):
    """Return a batch as a loader makes it."""
    count = len(numbers)
    label = torch.ones(count, 1, 2, 3) if label is None else label
    texts = [made.dataset.data[number]["text"] for number in numbers]
    images = torch.arange(count * 12.0).view(count, 3, 2, 2)
    return {"image": images, "label": label, "text": texts, "number": torch.tensor(numbers)}


def drawn(made, numbers):
    return made(batch_of(made, numbers))[3]["text"]


def test_each_image_gets_its_own_text_and_absent_ones_with_empty_targets():
    made = prepare(map_samples([["cat"], ["dog"]]), 2, OWN)
    batch = batch_of(made, [1, 0])
    image, target, arguments, options = made(batch)
    assert torch.equal(image, batch["image"])
    assert arguments == ()
    assert target.dtype == batch["label"].dtype
    assert torch.equal(target, torch.cat([torch.ones(2, 1, 2, 3), torch.zeros(2, 2, 2, 3)], dim=1))
    assert [row[0] for row in options["text"]] == ["dog", "cat"]
    for row in options["text"]:
        assert len(set(row[1:])) == 2 and set(row[1:]) <= set(OWN)


def test_none_leaves_text_and_target_unchanged():
    made = prepare(map_samples([["cat"], ["dog"]]), 0, "no such file")
    batch = batch_of(made, [0, 1])
    _, target, _, options = made(batch)
    assert torch.equal(target, batch["label"])
    assert options["text"] == [["cat"], ["dog"]]


@settings(max_examples=30, deadline=None)
@given(
    shown=st.lists(st.sets(st.sampled_from(CLASSES), min_size=1, max_size=3), min_size=1, max_size=5),
    count=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_no_class_that_an_image_shows_is_drawn(shown, count, seed):
    missing = max(len(CLASSES) - len(names) for names in shown)
    samples = map_samples(shown)
    made = prepare(samples, min(count, missing), "classes", seed)
    for epoch in range(1, 4):
        made.dataset.set_epoch(epoch)
        for number, pair in enumerate(samples):
            own, absent = made.draw(number)
            names = shown[int(pair["image"])]
            assert own == pair["class_name"]
            assert names.isdisjoint(absent)
            assert len(absent) == len(set(absent)) == min(made.negative_texts, len(CLASSES) - len(names))


def test_a_draw_depends_on_seed_epoch_and_sample_alone():
    samples = map_samples([[CLASSES[number % 4]] for number in range(40)])
    made = prepare(samples, 2, "pool")
    first = drawn(made, range(40))
    assert drawn(made, range(40)) == first
    assert drawn(prepare(samples, 2, "pool"), [7, 3]) == [first[7], first[3]]
    others = [prepare(samples, 2, "pool", **own) for own in ({"seed": 1}, {"epoch": 2})]
    for other in others:
        assert sum(left != right for left, right in zip(first, drawn(other, range(40)), strict=True)) > 30
    assert len({tuple(row[1:]) for row in first}) > 20


def test_all_texts_are_drawn_equally_often():
    made = prepare(map_samples([["cat"]]), 1, OWN)
    counts = Counter()
    for epoch in range(600):
        made.dataset.set_epoch(epoch)
        counts.update(made.draw(0)[1])
    assert counts.keys() == set(OWN)
    assert all(abs(count - 200) < 60 for count in counts.values())  # 5 standard deviations


def test_an_image_that_shows_more_classes_repeats_its_text_without_a_target():
    samples = map_samples([["cat"], ["cat", "dog", "cow"], CLASSES])
    made = prepare(samples, 2, "classes")
    _, target, _, options = made(batch_of(made, [0, 1, 4]))
    rows = options["text"]
    assert set(rows[0][1:]) < {"dog", "cow", "owl"}
    assert rows[1] == ["cat", "owl", "cat"]
    assert rows[2] == ["cat", "cat", "cat"]
    assert target.flatten(2).unique(dim=2).squeeze(2).tolist() == [
        [1, 0, 0],
        [1, 0, IGNORE_INDEX],
        [1, IGNORE_INDEX, IGNORE_INDEX],
    ]
    logits = torch.zeros(3, 3, 2, 3, requires_grad=True)
    NegativeTextLoss(PairDiceCELoss())(logits, target).backward()
    moved = (logits.grad != 0).flatten(2).any(dim=2)
    assert moved.tolist() == [[True, True, True], [True, True, False], [True, False, False]]


def test_ignored_pixels_may_show_a_class_but_no_text_of_a_list():
    samples, label = map_samples([["cat"]]), torch.tensor([[[[0.0, 1.0, IGNORE_INDEX]]]])
    for source, pixel in (("classes", IGNORE_INDEX), (OWN, 0), ("pool", 0)):
        made = prepare(samples, 2, source)
        target = made(batch_of(made, [0], label))[1]
        assert target[0, :, 0].tolist() == [[0, 1, IGNORE_INDEX], [0, 0, pixel], [0, 0, pixel]]
        presence = torch.zeros(1, 3, requires_grad=True)
        NegativeTextLoss(PairDiceCELoss(lambda_presence=1))(
            Segmentation(torch.zeros(1, 3, 1, 3), presence), target
        ).backward()
        assert (presence.grad[0, 1:] > 0).all() == (pixel == 0)


def test_the_source_holds_the_texts_of_a_file(tmp_path):
    file = tmp_path / "texts.txt"
    file.write_text("A  car\na tree\n")
    samples = map_samples([["cat"], ["dog"]])
    assert prepare(samples, 1, str(file)).source == ["A car", "a tree"]
    assert prepare(samples, 0, str(file)).source == "pool"
    for source in ("pool", "classes", OWN):
        assert prepare(samples, 1, source).source == source


def test_the_own_text_is_any_of_its_set():
    sets = {"cat": ["a kitten", "feline", "cat"], "dog": []}
    samples = [pair | {"text_set": sets[pair["class_name"]]} for pair in map_samples([["cat"], ["dog"]])]
    made, plain = prepare(samples, 2, OWN), prepare(map_samples([["cat"], ["dog"]]), 2, OWN)
    counts = Counter()
    for epoch in range(600):
        made.dataset.set_epoch(epoch)
        plain.dataset.set_epoch(epoch)
        own, absent = made.draw(0)
        counts[own] += 1
        assert absent == plain.draw(0)[1]
        assert made.draw(1)[0] == "dog"
    assert counts.keys() == {"cat", "a kitten", "feline"}
    assert all(abs(count - 200) < 60 for count in counts.values())


@pytest.mark.parametrize("text", ["DOG", "a  Puppy", "a wolf"])
def test_a_text_that_can_apply_is_refused(text):
    samples = [pair | {"text_set": ["a puppy"]} for pair in map_samples([["cat"], ["dog"]])]
    with pytest.raises(ValueError, match=f"negative_source.*{re.escape(repr(' '.join(text.split())))}"):
        prepare(samples, 1, ["tree", text], others=[sample("z", "dog", text="a wolf")])


@pytest.mark.parametrize(
    ("count", "source", "message"),
    [(4, OWN, r"negative_texts is 4.*\b3\b"), (3, "classes", r"negative_texts is 3.*'classes'.*\b2\b")],
)
def test_more_texts_than_any_image_has_are_refused(count, source, message):
    with pytest.raises(ValueError, match=message):
        prepare(map_samples([["cat", "dog"], ["cat", "dog", "cow"]]), count, source)


def test_validation_asks_for_own_texts_and_for_as_many_absent_ones_as_there_are():
    samples = [pair | {"text_set": ["a pet"]} for pair in map_samples([["cat", "dog"], ["cat", "dog", "cow"]])]
    made = prepare(samples, 3, "classes", validates=True)
    _, target, _, options = made(batch_of(made, range(5)))
    assert target.shape == (5, 3, 2, 3)
    assert [row[0] for row in options["text"]] == ["cat", "dog", "cat", "dog", "cow"]
    assert {frozenset(row[1:]) for row in options["text"][:2]} == {frozenset({"cow", "owl"})}
    assert (target[2:, 2] == IGNORE_INDEX).all() and not target[2:, 1].any()
    nothing = prepare(map_samples([CLASSES]), 3, "classes", validates=True)
    assert drawn(nothing, [0, 1]) == [["cat"], ["dog"]]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"negative_source.*{re.escape(str(tmp_path / 'texts.txt'))}"):
        prepare(map_samples([["cat"]]), 1, str(tmp_path / "texts.txt"))


def test_calibration_draws_texts_of_the_pool_beside_the_own_text():
    pool = {text for kind in read_json_object(POOL_FILE).values() for text in kind["texts"]}
    dataset = SeededDataset([sample("a", "owl", text_set=["a bird"]), sample("b", "owl", text_set=["a bird"])], [])
    made = with_pool_texts(PrepareBatchExtraInput({"text": "text"}), dataset, DatasetSpec("data", ["owl"]))
    rows = drawn(made, [0, 1] * 9)
    assert {row[0] for row in rows} == {"owl"}
    assert all(len({*row[1:]} & pool) == 3 for row in rows)
    assert rows == [rows[0], rows[1]] * 9 and rows[0] != rows[1]


def test_calibration_of_a_dataset_that_can_show_the_whole_pool_has_its_own_texts_only(caplog):
    names = [kind["texts"][0] for kind in read_json_object(POOL_FILE).values()]
    dataset = SeededDataset([sample("a", names[0])], [])
    inner = PrepareBatchExtraInput({"text": "text"})
    assert with_pool_texts(inner, dataset, DatasetSpec("data", names)) is inner
    assert "presence" in caplog.text
