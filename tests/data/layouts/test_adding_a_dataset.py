"""A new dataset is one file, one registry line and one fragment, and works everywhere."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from monai.bundle import ConfigWorkflow
from PIL import Image
from typer.testing import CliRunner

from monai_tunevlseg.bundles import bundle_names, experiment_names, render_experiment, write_bundles
from monai_tunevlseg.commands.datasets import app
from monai_tunevlseg.data import LAYOUTS, DatasetSpec, build_datalists
from monai_tunevlseg.data.checks.dataset_check import check_dataset
from monai_tunevlseg.data.dataset_conversion import convert_dataset
from monai_tunevlseg.data.demo_datasets import DEMO_DATASETS

ROOT = Path(__file__).resolve().parents[3]

FILE = '''\
"""The layout `petri`: dishes as `photos/*.png`, colonies as `colonies/*.png`."""

from monai_tunevlseg.data.layouts._base import DatasetInfo, Layout, draw_published_sizes
from monai_tunevlseg.data.layouts._binary_masks import read_binary_masks
from monai_tunevlseg.data.layouts._mask_encodings import binary_encoding

INFO = DatasetInfo(
    title="Petri dishes",
    class_names=("bacterial colony",),
    modality="photography",
    organ="none",
    sizes=(6, 2, 2),
    license="CC0.",
    source="https://example.org/petri",
    reference="Petri, Eine kleine Modification, 1887",
)


def read_petri(dataset_dir, encoding, slice_axis):
    return read_binary_masks({dataset_dir / "photos": dataset_dir / "colonies"}, binary_encoding(encoding, INFO))


LAYOUT = Layout(read_petri, INFO, split=draw_published_sizes(*INFO.sizes))
'''
FRAGMENT = '# {% include "datasets/parts/public.yaml" %}\n'


def files_below(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"}


def load_module(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def repository(tmp_path):
    """A copy of the package's layouts and of configs/, without other datasets, whose experiments would take long."""
    root = tmp_path / "repository"
    shutil.copytree(ROOT / "configs", root / "configs", ignore=shutil.ignore_patterns(*LAYOUTS, *DEMO_DATASETS))
    for fragment in (root / "configs/datasets").glob("*.yaml"):
        fragment.unlink()
    shutil.copytree(ROOT / "monai_tunevlseg/data/layouts", root / "layouts", ignore=shutil.ignore_patterns("*.pyc"))
    shutil.copy(ROOT / "LICENSE", root)
    return root


@pytest.fixture
def petri(repository):
    """The repository with a new dataset."""
    before, names = files_below(repository), list(LAYOUTS)
    (repository / "layouts/petri.py").write_text(FILE)
    (repository / "configs/datasets/petri.yaml").write_text(FRAGMENT)
    with LAYOUTS.temporarily("petri", load_module(repository / "layouts/petri.py").LAYOUT):
        assert files_below(repository) - before == {Path("layouts/petri.py"), Path("configs/datasets/petri.yaml")}
        assert list(LAYOUTS) == [*names, "petri"]
        yield repository


@pytest.fixture
def dataset_dir(tmp_path):
    rng = np.random.default_rng(0)
    for folder in ("photos", "colonies"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for number in range(10):
        mask = np.zeros((24, 30), np.uint8)
        mask[number : number + 9, 2 * number : 2 * number + 9] = 255
        photo = rng.integers(0, 90, (24, 30, 3)) + mask[..., None] // 2
        Image.fromarray(photo.astype(np.uint8)).save(tmp_path / "data/photos" / f"{number}.png")
        Image.fromarray(mask).save(tmp_path / "data/colonies" / f"{number}.png")
    return tmp_path / "data"


def test_the_dataset_is_read_checked_converted_and_listed(petri, dataset_dir, tmp_path):
    spec = DatasetSpec(dataset_dir, layout="petri")
    datalists = build_datalists(spec)
    assert {name: len(samples) for name, samples in datalists.items()} == {"train": 6, "val": 2, "test": 2}
    assert {sample["text"] for samples in datalists.values() for sample in samples} == {"bacterial colony"}
    report = check_dataset(spec)
    assert (report.errors, report.table_1, report.files) == ([], (6, 2, 2), 20)
    assert convert_dataset(spec, tmp_path / "out").pairs == 10
    listed = CliRunner().invoke(app, [], env={"COLUMNS": "200"})
    assert "Petri dishes" in listed.output and "https://example.org/petri" in listed.output


def test_each_bundle_gets_an_experiment_with_the_dataset(petri, tmp_path):
    configs, bundles = petri / "configs", tmp_path / "bundles"
    experiments = {f"petri/{bundle}" for bundle in bundle_names(configs)}
    assert experiments == set(experiment_names(configs))
    written = {path.relative_to(configs) for path in write_bundles(configs, bundles) if path.is_relative_to(configs)}
    assert written == {Path(f"{experiment}.yaml") for experiment in experiments}
    for path in written:
        content = yaml.safe_load((configs / path).read_text())
        assert content == {"layout": "petri", "class_names": ["bacterial colony"]}


def test_a_bundle_trains_on_the_dataset(petri, dataset_dir, tmp_path, tiny_clipseg_dir):
    experiment = tmp_path / "experiment.yaml"
    experiment.write_text(render_experiment(petri / "configs", "petri/clipseg_vpt"))
    files = [ROOT / "bundles/clipseg_vpt/configs/train.yaml", experiment]
    overrides = {
        "bundle_root": str(tmp_path / "run"),
        "dataset_dir": str(dataset_dir),
        "pretrained": str(tiny_clipseg_dir),
        "prompt_depth": 2,
        "device": "cpu",
        "batch_size": 2,
        "effective_batch_size": 2,
        "epochs": 1,
        "num_workers": 0,
        "show_progress": False,
        "train#trainer#epoch_length": 1,
    }
    run = ConfigWorkflow([str(path) for path in files], workflow_type="train", logging_file=False, **overrides)
    run.initialize()
    before = {name: value.clone() for name, value in run.network_def.state_dict().items()}
    run.run()
    run.finalize()
    assert any(not torch.equal(value, before[name]) for name, value in run.network_def.state_dict().items())
    assert (tmp_path / "run/models/model.pt").is_file()
