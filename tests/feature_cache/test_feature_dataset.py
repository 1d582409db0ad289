import logging
import math

import pytest
import torch
from feature_samples import transform_of, write_pairs
from monai.data import DataLoader

from monai_tunevlseg.feature_cache import DiskStore, FeatureCache, FeatureDataset, MemoryStore, open_cache
from monai_tunevlseg.networks import VLSMS, ImageFeatures
from monai_tunevlseg.training import SeededDataset


@pytest.fixture(params=["memory", "disk"])
def store(request, tmp_path):
    return MemoryStore(2**26) if request.param == "memory" else DiskStore(tmp_path / "store", 2**26)


def dataset_of(data, network, store, num_views=2, **settings):
    return FeatureDataset(SeededDataset(data, transform_of()), FeatureCache(network, store, **settings), num_views)


def epoch(dataset, number=1):
    dataset.dataset.set_epoch(number)
    return list(DataLoader(dataset, batch_size=2, num_workers=0))


def test_only_the_first_epoch_reads_and_encodes(tmp_path, build_network, store, counter):
    dataset = dataset_of(write_pairs(tmp_path), build_network(), store)
    assert counter.take() == (0, 0)
    first = epoch(dataset, 1)
    assert counter.take() == (3, 6)
    seen = [first, *(epoch(dataset, number) for number in (2, 3))]
    assert counter.take() == (0, 0)
    rows = [torch.cat([batch["image"]["patches"] for batch in batches]) for batches in seen]
    for row in range(3):  # the two views in turn
        assert torch.equal(rows[0][row], rows[2][row])
        assert not torch.equal(rows[0][row], rows[1][row])


@pytest.mark.parametrize("vlsm", list(VLSMS), indirect=True)
def test_features_and_label_are_those_of_the_view(tmp_path, build_network, store):
    data, network = write_pairs(tmp_path), build_network("cocoop")
    dataset = dataset_of(data, network, store)
    (first, _) = epoch(dataset)
    assert isinstance(first["image"], ImageFeatures)
    assert first["text"] == ["class 1", "class 1"]
    for row in range(2):
        made = [dataset.views.make(row, [view]) for view in range(2)]
        with torch.no_grad():
            ours = [network.encode_image(images) for images, _ in made]
        near = [torch.allclose(first["image"]["embedding"][row], each["embedding"][0], atol=1e-5) for each in ours]
        assert sum(near) == 1
        view = near.index(True)
        assert first["image"].keys() == ours[view].keys()
        for name, value in ours[view].items():
            torch.testing.assert_close(first["image"][name][row], value[0], rtol=1e-4, atol=1e-5)
        assert torch.equal(first["label"][row], made[view][1][0].float())
    assert first["label"].dtype == torch.float32


def test_an_image_of_many_classes_is_encoded_once(tmp_path, build_network, store, counter):
    data = write_pairs(tmp_path, count=2, classes=3)
    dataset = dataset_of(data, build_network(), store, num_views=0)
    batches = epoch(dataset)
    assert counter.take() == (2, 2)
    assert [text for batch in batches for text in batch["text"]] == [sample["text"] for sample in data]
    plain = SeededDataset(data, transform_of(probability=0.0))
    labels = torch.cat([batch["label"] for batch in batches])
    assert torch.equal(labels, torch.stack([sample["label"] for sample in plain]))


def test_loader_workers_fill_the_same(tmp_path, build_network):
    data, network, stores = write_pairs(tmp_path), build_network(), [MemoryStore(2**26) for _ in range(2)]
    for store, workers in zip(stores, (0, 2), strict=True):
        state = torch.get_rng_state()
        epoch_of = dataset_of(data, network, store, num_workers=workers)
        epoch_of[0]
        assert torch.equal(state, torch.get_rng_state())  # filling takes no number from the training
    keys = [key for keys in epoch_of.views.keys for key in keys]
    for key in keys:
        for name, value in stores[0].get(key).items():
            assert torch.equal(value, stores[1].get(key)[name])


def test_in_a_loaders_worker_it_is_refused(tmp_path, build_network, store):
    dataset = dataset_of(write_pairs(tmp_path), build_network(), store)
    with pytest.raises(RuntimeError, match="num_workers to 0"):
        next(iter(DataLoader(dataset, num_workers=1)))


def test_a_full_memory_gives_the_same_with_one_warning(tmp_path, build_network, counter, caplog):
    data, network = write_pairs(tmp_path), build_network()
    whole = dataset_of(data, network, MemoryStore(2**26))
    expected = [epoch(whole, number) for number in (1, 2)]
    size = whole.cache.store.bytes // 6
    store = MemoryStore(2 * size + 10)
    counter.take()
    with caplog.at_level(logging.WARNING):
        tight = dataset_of(data, network, store)
        found = [epoch(tight, number) for number in (1, 2)]
    assert store.bytes == 2 * size
    assert caplog.text.count("the feature cache is full") == 1
    assert counter.take()[1] > 6
    for left, right in zip(sum(expected, []), sum(found, []), strict=True):
        torch.testing.assert_close(left["image"]["patches"], right["image"]["patches"])
        assert torch.equal(left["label"], right["label"])


def test_another_run_finds_all_that_has_not_changed(tmp_path, build_network, counter):
    data, store = write_pairs(tmp_path), DiskStore(tmp_path / "store", 2**26)
    dataset_of(data, build_network(), store)[0]
    counter.take()
    dataset_of(data, build_network(), DiskStore(tmp_path / "store", 2**26))[0]
    assert counter.take() == (0, 0)
    (tmp_path / "1.png").touch()
    dataset_of(data, build_network(), DiskStore(tmp_path / "store", 2**26))[0]
    assert counter.take() == (1, 2)
    dataset_of(data, build_network("cocoop"), DiskStore(tmp_path / "store", 2**26))[0]
    assert counter.take() == (3, 6)


def test_damaged_entries_are_encoded_again(tmp_path, build_network, counter, caplog):
    data, folder = write_pairs(tmp_path), tmp_path / "store"
    expected = epoch(dataset_of(data, build_network(), DiskStore(folder, 2**26)))
    damaged = list(folder.iterdir())
    for path in damaged:
        path.write_bytes(path.read_bytes()[:-1])
    counter.take()
    with caplog.at_level(logging.WARNING):
        found = epoch(dataset_of(data, build_network(), DiskStore(folder, 2**26)))
    assert counter.take() == (3, 3)
    assert sum(str(path) in caplog.text for path in damaged) == 3
    for left, right in zip(expected, found, strict=True):
        torch.testing.assert_close(left["image"]["patches"], right["image"]["patches"])


@pytest.mark.parametrize(
    ("method", "unfreeze", "message"),
    [
        ("vpt", None, "'vpt'.*None.*feature_cache"),
        ("maple", None, "'maple'.*feature_cache"),
        ("coop", "decoder", "'coop'.*'decoder'.*feature_cache"),
        (None, "all", "None.*'all'.*feature_cache"),
        ("lora", None, "'lora'.*feature_cache.*adapted_parts"),
    ],
)
def test_features_that_change_while_training_are_refused(method, unfreeze, message, build_network):
    with pytest.raises(ValueError, match=message):
        open_cache(build_network(method, unfreeze), "memory", "", 1)


@pytest.mark.parametrize(
    ("kind", "size", "message"),
    [
        ("ram", 1, "feature_cache is 'ram'.*off, memory or disk"),
        ("memory", 0, "feature_cache_size is 0"),
        ("disk", -1, "feature_cache_size is -1"),
        ("disk", math.inf, "feature_cache_size is inf"),
        ("memory", math.nan, "feature_cache_size is nan"),
    ],
)
def test_settings_out_of_range_are_refused(kind, size, message, build_network):
    with pytest.raises(ValueError, match=message):
        open_cache(build_network(), kind, "", size)


@pytest.mark.parametrize("kind", ["off", False, None])
def test_off_disables_the_cache_for_every_network(kind, build_network):
    assert open_cache(build_network("vpt"), kind, "", 1) is None


def test_precision_and_device_are_in_the_key(build_network):
    cache = FeatureCache(build_network(), MemoryStore(1))
    plain = cache.encoder
    cache.network.base.bfloat16()
    assert cache.encoder != plain
    cache.network.base.float()
    assert cache.encoder == plain
    assert FeatureCache(cache.network, cache.store, amp=True).encoder != plain


@pytest.mark.parametrize(("method", "changes"), [("coop", False), ("cocoop", False), ("vpt", True), ("lora", True)])
def test_trained_parameters_are_in_the_key_if_features_depend_on_them(method, changes, build_network):
    network = build_network(method)
    plain = FeatureCache(network, MemoryStore(1)).encoder
    assert FeatureCache(build_network(method), MemoryStore(1)).encoder == plain
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.add_(1)
    assert (FeatureCache(network, MemoryStore(1)).encoder != plain) is changes


@pytest.mark.parametrize("vlsm", list(VLSMS), indirect=True)
@pytest.mark.parametrize("method", ["coop", "cocoop"])
def test_bfloat16_halves_the_size(method, vlsm, build_network):
    images, network = torch.randn(2, 3, 64, 64), build_network(method)
    sizes = []
    for precision in ("fp32", "bf16"):
        store = MemoryStore(2**26)
        FeatureCache(network.compute_in(precision), store).encode(images)
        sizes.append(store.bytes)
    assert sizes[1] == sizes[0] / 2 > 0
