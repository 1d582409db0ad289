import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from ignite.engine import Engine
from monai.data import DataLoader, DistributedSampler
from monai.transforms import Compose, Lambda, RandomizableTransform

from monai_tunevlseg.training import EpochSeeding, SeededDataset, derive_seed


class AddNoise(RandomizableTransform):
    """Adds two random numbers."""

    def __call__(self, data):
        return data + torch.as_tensor(self.R.uniform(size=2), dtype=torch.float64)


def noisy_dataset(seed=0, cache_rate=0.0):
    transform = Compose([Lambda(lambda number: torch.full((2,), float(number), dtype=torch.float64)), AddNoise()])
    return SeededDataset(list(range(7)), transform, seed=seed, cache_rate=cache_rate)


def epochs(dataset, workers=0, count=3, first=1, seed=0):
    """Run an engine like the trainer, and return all batches."""
    sampler = DistributedSampler(dataset, num_replicas=1, rank=0, seed=seed)
    loader = DataLoader(dataset, batch_size=3, sampler=sampler, num_workers=workers)
    seen = []
    engine = Engine(lambda engine, batch: seen.append(torch.cat([batch, torch.rand_like(batch)])))
    EpochSeeding(seed, dataset).attach(engine)
    engine.add_event_handler("EPOCH_STARTED", lambda: sampler.set_epoch(engine.state.epoch))
    engine.load_state_dict({"epoch": first - 1, "max_epochs": count, "epoch_length": len(loader)})
    engine.run(loader)
    return seen


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=4))
def test_derive_seed_is_a_32_bit_number_that_depends_on_each_part(numbers):
    seed = derive_seed(*numbers)
    assert 0 <= seed < 2**32
    assert seed == derive_seed(*numbers)
    assert seed != derive_seed(*numbers[:-1], numbers[-1] + 1)


def test_loader_workers_and_the_cache_change_no_number():
    plain = epochs(noisy_dataset())
    for other in (epochs(noisy_dataset(), workers=2), epochs(noisy_dataset(cache_rate=0.6))):
        assert all(torch.equal(left, right) for left, right in zip(plain, other, strict=True))


def test_epochs_differ_in_order_augmentation_and_the_global_generator():
    first, second = (torch.cat(epochs(noisy_dataset(), count=epoch, first=epoch)) for epoch in (1, 2))
    assert not torch.equal(first[:3].floor(), second[:3].floor())
    noise = [torch.sort(batches[:3].frac().flatten()).values for batches in (first, second)]
    assert not torch.equal(*noise)
    assert not torch.equal(first[3:6], second[3:6])


def test_a_run_that_starts_later_has_the_same_epoch():
    whole = epochs(noisy_dataset(), count=3)
    rest = epochs(noisy_dataset(), count=3, first=3)
    assert all(torch.equal(left, right) for left, right in zip(whole[-len(rest) :], rest, strict=True))


def test_samples_of_one_epoch_get_different_noise():
    batches = torch.cat([batch[: len(batch) // 2] for batch in epochs(noisy_dataset(), count=1)])
    assert len(torch.unique(batches.frac())) == batches.numel()


def test_another_seed_gives_other_numbers():
    assert not torch.equal(epochs(noisy_dataset(seed=0))[0], epochs(noisy_dataset(seed=1), seed=1)[0])


def test_processes_draw_different_dropout_but_the_same_augmentation():
    draws = []
    for rank in (0, 1):
        dataset = noisy_dataset()
        engine = Engine(lambda engine, batch: None)
        EpochSeeding(0, dataset, rank).attach(engine)
        engine.run([0], max_epochs=1)
        draws.append((torch.rand(1).item(), np.random.rand(), random.random(), dataset[0]))
    assert all(left != right for left, right in zip(draws[0][:3], draws[1][:3], strict=True))
    assert torch.equal(draws[0][3], draws[1][3])


def test_a_cached_sample_is_not_augmented_twice():
    dataset = noisy_dataset(cache_rate=1.0)
    assert torch.equal(dataset[0], dataset[0])


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_a_cache_rate_out_of_range_is_named(rate):
    with pytest.raises(ValueError, match=rf"cache_rate .*{rate}"):
        noisy_dataset(cache_rate=rate)


def test_only_samples_without_texts_are_completed():
    def complete(samples):
        return [sample | {"text": text} for sample in samples for text in ("a", "b")]

    with_text, without = [{"image": 1, "text": "c"}], [{"image": 1}]
    assert SeededDataset(with_text, [], complete=complete).data == with_text
    assert [sample["text"] for sample in SeededDataset(without, [], complete=complete).data] == ["a", "b"]
