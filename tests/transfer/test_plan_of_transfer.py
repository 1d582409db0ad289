"""Which images of which dataset a transfer evaluates, before it evaluates them."""

from __future__ import annotations

import json
import shutil

import pytest
from small_transfers import BUNDLES

from monai_tunevlseg.data import LAYOUTS
from monai_tunevlseg.transfer import TransferSettings, read_source_run, read_target
from monai_tunevlseg.transfer.plan import plan_transfer


def stems(folder, split):
    return json.loads((folder / "splits.json").read_text())[split]


@pytest.mark.parametrize(("part", "count"), [("auto", 32), ("all", 32), ("test", 4)])
def test_a_target_is_tested_on_all_images_or_on_its_test_split(source, bright, domains, part, count):
    (plan,) = plan_transfer([source], [bright], TransferSettings(part=part))
    assert plan.source.stems == stems(domains["dark"], "test")
    assert len(plan.targets[0].stems) == count
    seen = {path.stem for path in plan.targets[0].trained}
    assert seen == {*stems(domains["dark"], "train"), *stems(domains["dark"], "val")}


@pytest.mark.parametrize(("part", "count"), [("auto", 2), ("test", 2), ("all", 32)])
def test_a_dataset_that_another_run_was_trained_on_has_the_test_split_of_that_run(
    source, clipseg_run, domains, tmp_path, part, count
):
    """The other run has a splits file of its own."""
    other = shutil.copytree(clipseg_run, tmp_path / "other")
    own = stems(domains["bright"], "train")
    splits = tmp_path / "splits.json"
    splits.write_text(json.dumps({"train": own[:8], "val": own[8:12], "test": own[20:22]}))
    path = other / "models" / "hyperparameters.json"
    changed = {"dataset_dir": str(domains["bright"]), "splits_file": str(splits)}
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    targets = [read_target(name, folder, {"layout": "folder"}) for name, folder in domains.items()]
    with pytest.warns(UserWarning, match="leaves out"):
        plans = plan_transfer([source, read_source_run(other, BUNDLES)], targets, TransferSettings(part=part))
    assert plans[1].source.stems == own[20:22]
    assert len(plans[0].targets[0].stems) == count
    if part != "all":
        assert plans[0].targets[0].stems == own[20:22]


def test_another_layout_of_the_same_folder_is_another_dataset(source, domains):
    with LAYOUTS.temporarily("center_2", LAYOUTS["folder"]):
        targets = [read_target(name, domains["dark"], {"layout": name}) for name in ("folder", "center_2")]
        (plan,) = plan_transfer([source], targets, TransferSettings())
    assert (plan.source.dataset, [target.dataset for target in plan.targets]) == ("folder", ["center_2"])


def test_two_datasets_of_one_name_are_refused(source, clipseg_run, bright, domains, tmp_path):
    other = shutil.copytree(clipseg_run, tmp_path / "other")
    moved = shutil.copytree(domains["dark"], tmp_path / "dark")
    path = other / "models" / "hyperparameters.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"dataset_dir": str(moved)}))
    with pytest.raises(ValueError, match=r"dark.*--on"):
        plan_transfer([source, read_source_run(other, BUNDLES)], [bright], TransferSettings())


def test_a_target_without_images_of_the_classes_is_refused(source, domains, tmp_path):
    data = shutil.copytree(domains["bright"], tmp_path / "data")
    (data / "splits.json").write_text(json.dumps({"train": stems(domains["bright"], "train"), "val": [], "test": []}))
    target = read_target("hospital", data, {"layout": "folder"})
    with pytest.raises(ValueError, match="hospital"):
        plan_transfer([source], [target], TransferSettings(part="test"))
