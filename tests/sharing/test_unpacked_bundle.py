"""The unpacked bundle in another folder, with MONAI's commands only."""

import json
import shlex
import shutil
import zipfile

import pytest
import torch
from documentation import lines
from local_server import serve
from monai.bundle import create_workflow, download, load
from PIL import Image
from shared_names import NAME
from warm_processes import run_module

from monai_tunevlseg.sharing.onnx_export import load_for_export


@pytest.fixture
def unpacked(shared, tmp_path):
    with zipfile.ZipFile(shared[0] / f"{NAME}_v0.1.0.zip") as archive:
        archive.extractall(tmp_path / "elsewhere")
    return tmp_path / "elsewhere" / NAME


@pytest.fixture
def own_data(data, tmp_path):
    return shutil.copytree(data, tmp_path / "own")


INFER, EVALUATE, TRAIN, EXPORT = lines("shared")


def run_monai(folder, command, data, *options):
    """Run a documented command in the bundle's folder."""
    command = command.replace("IMAGES", str(data)).replace("DATA", str(data))
    python, option, module, *arguments = [*shlex.split(command), *options]
    assert (python, option) == ("python", "-m")
    return run_module(module, arguments, folder, {"CUDA_VISIBLE_DEVICES": ""}, timeout=300)


def test_inference_evaluation_and_further_training(unpacked, own_data, run_dir):
    inferred = run_monai(unpacked, INFER, own_data)
    assert inferred.returncode == 0, inferred.stderr[-3000:]
    masks = sorted((unpacked / "output" / "masks").iterdir())
    assert len(masks) == 24
    assert Image.open(masks[0]).size == Image.open(own_data / "images" / masks[0].name).size

    evaluated = run_monai(unpacked, EVALUATE, own_data)
    assert evaluated.returncode == 0, evaluated.stderr[-3000:]
    ours, theirs = (json.loads((root / "eval" / "metrics.json").read_text()) for root in (unpacked, run_dir))
    assert ours["dice"] == pytest.approx(theirs["dice"], abs=1e-3)

    before = torch.load(unpacked / "models" / "model.pt", weights_only=True)
    small_step = ["--learning_rate", "1e-9", "--weight_decay", "0", "--epochs", "1"]
    trained = run_monai(unpacked, TRAIN, own_data, *small_step)
    assert trained.returncode == 0, trained.stderr[-3000:]
    after = torch.load(unpacked / "models" / "last.pt", weights_only=True)["model"]
    for name, value in before.items():
        if name != "_extra_state":
            torch.testing.assert_close(after[name], value, rtol=0, atol=1e-6)


def test_ckpt_export_writes_the_network_in_float32_whatever_is_fast(unpacked):
    exported = run_monai(unpacked, EXPORT, None, "--precision", "bf16")
    assert exported.returncode == 0, exported.stderr[-3000:]
    written = torch.jit.load(unpacked / "models" / "model.ts")
    assert {value.dtype for value in written.state_dict().values() if value.is_floating_point()} == {torch.float32}
    images = torch.rand(2, 3, 96, 96)
    with torch.no_grad():
        wanted, found = (
            load_for_export(unpacked).network(images),
            written(images),
        )
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    with pytest.raises(torch.jit.Error, match="100x100"):
        written(torch.rand(1, 3, 100, 100))


def test_monai_downloads_and_loads_the_bundle(shared, own_data, tmp_path):
    with serve(shared[0]) as url:
        download(name=NAME, bundle_dir=str(tmp_path), url=f"{url}/{NAME}_v0.1.0.zip", progress=False)
    wanted = load_for_export(tmp_path / NAME).network
    network = load(NAME, bundle_dir=str(tmp_path), device="cpu")
    for name, value in wanted.state_dict().items():
        assert torch.equal(network.state_dict()[name], value), name
    made = create_workflow(
        config_file=str(tmp_path / NAME / "configs" / "inference.json"),
        workflow_type="inference",
        logging_file=False,
        bundle_root=str(tmp_path / NAME),
        dataset_dir=str(own_data),
        device="cpu",
    )
    assert made.check_properties() == []
    made.run()
    assert len(list((tmp_path / NAME / "output" / "masks").iterdir())) == 24
