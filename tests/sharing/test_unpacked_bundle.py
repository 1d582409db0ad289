"""The unpacked bundle in another folder, with MONAI's commands only."""

import functools
import json
import shlex
import shutil
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from documentation import lines
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


def test_ckpt_export_traces_the_network_and_refuses_scripting(unpacked):
    traced = run_monai(unpacked, EXPORT, None)
    assert traced.returncode == 0, traced.stderr[-3000:]
    images = torch.rand(2, 3, 96, 96)
    with torch.no_grad():
        wanted, found = (
            load_for_export(unpacked).network(images),
            torch.jit.load(unpacked / "models" / "model.ts")(images),
        )
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    scripted = run_monai(unpacked, EXPORT.replace("--use_trace True", ""), None)
    assert scripted.returncode != 0
    assert "cannot be scripted" in scripted.stderr.strip().splitlines()[-1]


def test_monai_downloads_and_loads_the_bundle(shared, own_data, tmp_path):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(shared[0])))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/{NAME}_v0.1.0.zip"
        download(name=NAME, bundle_dir=str(tmp_path), url=url, progress=False)
    finally:
        server.shutdown()
        server.server_close()
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
