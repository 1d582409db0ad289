import logging
import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from monai_tunevlseg.atomic_files import unfinished_path
from monai_tunevlseg.feature_cache import DiskStore, MemoryStore, RecentStore
from monai_tunevlseg.feature_cache.stores import HEADER_BYTES, size_of

KINDS = ["memory", "disk"]


def entry(number, floats=1024):
    return {"patches": torch.full((floats,), float(number)), "label": torch.tensor([[0, 1, 255]], dtype=torch.uint8)}


@pytest.fixture(params=KINDS)
def store(request, tmp_path):
    return MemoryStore(2**20) if request.param == "memory" else DiskStore(tmp_path / "store", 2**20)


def large(number):
    return entry(number, 20_000)


def on_disk(folder):
    return sum(path.stat().st_size for path in folder.iterdir())


def test_an_entry_comes_back_unchanged(store):
    assert "a" not in store
    assert store.get("a") is None
    kept = entry(1) | {"half": torch.randn(2, 3).bfloat16(), "part": torch.arange(12.0).reshape(3, 4)[:, 1]}
    assert store.put("a", kept)
    assert "a" in store
    back = store.get("a")
    assert back.keys() == kept.keys()
    for name, value in kept.items():
        assert back[name].dtype == value.dtype
        assert torch.equal(back[name], value)


def test_a_row_of_a_batch_does_not_keep_the_batch():
    store, batch = MemoryStore(2**20), torch.zeros(1000, 10)
    store.put("a", {"row": batch[0]})
    assert store.get("a")["row"].untyped_storage().nbytes() == 40


def test_memory_stays_under_its_bound():
    store, size = MemoryStore(10 * size_of(entry(0)) + 5), size_of(entry(0))
    kept = [store.put(str(number), entry(number)) for number in range(20)]
    assert kept == [True] * 10 + [False] * 10
    assert store.bytes == sum(size_of(store.get(str(number))) for number in range(10)) == 10 * size
    assert store.get("10") is None


def test_a_recent_store_loses_the_least_recently_used_entries():
    size = size_of(entry(0))
    store = RecentStore(3 * size + 5)
    for number in range(3):
        assert store.put(str(number), entry(number))
    store.get("0")  # used again
    assert store.put("3", entry(3))
    assert [number for number in "0123" if number in store] == ["0", "2", "3"]
    assert store.bytes == 3 * size
    assert torch.equal(store.get("0")["patches"], entry(0)["patches"])
    assert store.put("0", entry(9)) and store.bytes == 3 * size


def test_an_entry_larger_than_a_recent_store_removes_none():
    store = RecentStore(2 * size_of(entry(0)))
    store.put("small", entry(0))
    assert not store.put("large", large(1))
    assert "small" in store and store.bytes == size_of(entry(0))


def test_threads_share_a_recent_store():
    size = size_of(entry(0))
    store = RecentStore(5 * size)

    def use(thread):
        for number in range(300):
            key = str((thread * 7 + number) % 11)
            found = store.get(key)
            assert found is None or torch.equal(found["patches"], entry(key)["patches"])
            store.put(key, entry(key))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(use, range(8)))
    assert store.bytes == size * sum(str(number) in store for number in range(11)) == 5 * size


def test_a_full_folder_loses_the_least_recently_used_entries(tmp_path):
    bound = 10 * size_of(large(0)) + 5 * HEADER_BYTES
    first = DiskStore(tmp_path, bound)
    for number in range(10):
        assert first.put(str(number), large(number))
        os.utime(tmp_path / f"{number}.features.safetensors", (number, number))
    (tmp_path / "model.safetensors").write_bytes(b"of somebody else")
    os.utime(tmp_path / "model.safetensors", (0, 0))
    second = DiskStore(tmp_path, bound)
    assert second.get("0") is not None  # which makes it the last to go
    for number in range(10, 14):
        assert second.put(str(number), large(number))
        assert on_disk(tmp_path) <= bound
    assert "0" in second
    assert "1" not in second
    assert "9" in second
    assert all(str(number) in second for number in range(10, 14))
    assert (tmp_path / "model.safetensors").is_file()


def test_entries_of_this_run_are_not_removed(tmp_path):
    store = DiskStore(tmp_path, 3 * size_of(large(0)) + 2 * HEADER_BYTES)
    kept = [store.put(str(number), large(number)) for number in range(6)]
    assert kept == [True] * 3 + [False] * 3
    assert all(store.get(str(number)) is not None for number in range(3))


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied", "other"])
def test_a_damaged_file_is_named_and_not_used(damage, tmp_path, caplog):
    store = DiskStore(tmp_path, 2**20)
    store.put("a", entry(1))
    path = tmp_path / "a.features.safetensors"
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[-100] ^= 1
    path.write_bytes({"cut": content[:-10], "flipped": content, "emptied": b"", "other": b"no entry" * 100}[damage])
    with caplog.at_level(logging.WARNING):
        assert store.get("a") is None
    assert str(path) in caplog.text
    assert store.put("a", entry(2))
    assert torch.equal(store.get("a")["patches"], entry(2)["patches"])


def put_many(folder):
    store = DiskStore(folder, 2**26)
    for number in range(30):
        store.put(str(number), entry(number))


def test_processes_share_a_folder(tmp_path):
    workers = [multiprocessing.get_context("fork").Process(target=put_many, args=(tmp_path,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    store = DiskStore(tmp_path, 2**26)
    assert all(torch.equal(store.get(str(n))["patches"], entry(n)["patches"]) for n in range(30))
    assert len(list(tmp_path.iterdir())) == 30


def test_a_read_only_folder_is_read(tmp_path, monkeypatch):
    store = DiskStore(tmp_path, 2**20)
    store.put("a", entry(1))

    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "utime", refuse)
    assert store.get("a") is not None


def test_unfinished_files_of_killed_processes_are_removed(tmp_path):
    store = DiskStore(tmp_path, 200_000)
    left, written = (unfinished_path(tmp_path / f"{name}.features.safetensors") for name in ("old", "new"))
    for path in (left, written):
        path.write_bytes(bytes(90_000))
    os.utime(left, (0, 0))
    assert store.put("a", large(1))
    assert written.exists() and not left.exists()
