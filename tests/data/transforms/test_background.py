from __future__ import annotations

from threading import Event

import pytest
import torch

from monai_tunevlseg.data.transforms.background import BackgroundTransform

WAIT = 60  # seconds until a test fails that would otherwise never end


def item(number, size=1):
    return {"number": number, "image": torch.zeros(size, dtype=torch.uint8)}


def test_an_item_returns_before_it_is_processed():
    may_start, processed = Event(), []

    def process(data):
        assert may_start.wait(WAIT)
        processed.append(data.pop("number"))

    with BackgroundTransform(process, num_threads=1) as background:
        returned = [background(item(number))["number"] for number in range(3)]
        assert (returned, processed) == ([0, 1, 2], [])
        may_start.set()
    assert processed == [0, 1, 2]


def test_threads_work_at_the_same_time():
    started = [Event(), Event()]

    def process(data):
        started[data["number"]].set()
        assert started[1 - data["number"]].wait(WAIT)

    with BackgroundTransform(process, num_threads=2) as background:
        for number in range(2):
            background(item(number))


@pytest.mark.parametrize(("size", "waits"), [(100, False), (101, True)])
def test_a_large_item_is_processed_before_it_returns(size, waits):
    may_start, processed = Event(), []

    def process(data):
        assert waits or may_start.wait(WAIT)
        processed.append(data["number"])

    with BackgroundTransform(process, num_threads=1, max_bytes=100) as background:
        background(item(0, size))
        assert processed == [0] * waits
        may_start.set()


def test_items_wait_together_up_to_the_limit():
    may_start, processed = [Event() for _ in range(4)], []

    def process(data):
        assert may_start[data["number"]].wait(WAIT)
        processed.append(data["number"])

    with BackgroundTransform(process, num_threads=1, max_bytes=100) as background:
        background(item(0, 50))
        background(item(1, 50))
        may_start[0].set()
        background(item(2, 50))
        assert processed[0] == 0
        for event in may_start:
            event.set()


def fail(data):
    if data["number"] in (1, 2):
        raise ValueError(f"item {data['number']}")
    data["done"].append(data["number"])


def test_the_first_error_is_raised_at_the_end_and_the_other_items_are_processed():
    may_start, done = Event(), []

    def process(data):
        assert may_start.wait(WAIT)
        fail(data)

    with pytest.raises(ValueError, match="item 1"), BackgroundTransform(process, num_threads=1) as background:
        for number in range(4):
            background(item(number) | {"done": done})
        may_start.set()
    assert done == [0, 3]


def test_an_error_ends_the_block_at_a_later_item():
    with pytest.raises(ValueError, match="item 1"), BackgroundTransform(fail, max_bytes=0) as background:  # noqa: PT012
        background(item(1))
        pytest.fail("the error of an item that is waited for was not raised")


def test_an_error_of_the_block_comes_first_and_items_are_still_processed():
    may_start, done = Event(), []

    def process(data):
        assert may_start.wait(WAIT)
        fail(data)

    with pytest.raises(KeyboardInterrupt), BackgroundTransform(process, num_threads=1) as background:  # noqa: PT012
        for number in range(2):
            background(item(number) | {"done": done})
        may_start.set()
        raise KeyboardInterrupt
    assert done == [0]


def test_a_block_can_be_entered_again():
    done = []
    background = BackgroundTransform(fail, num_threads=1)
    for _ in range(2):
        with background:
            background(item(0) | {"done": done})
    assert done == [0, 0]


def test_a_call_outside_the_block_is_refused():
    with pytest.raises(RuntimeError, match="with block"):
        BackgroundTransform(fail)(item(0))
