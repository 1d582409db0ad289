"""The last line of a failed run is its reason, without the wrappers of MONAI, PyTorch and torchrun."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from monai.bundle import ConfigParser
from monai.data import DataLoader, Dataset
from monai.transforms import Compose

from monai_tunevlseg.data import LoadImageMaskd, build_inference_datalist
from monai_tunevlseg.errors import error_reason, install_error_hook, root_cause

CONFIGS = Path(__file__).resolve().parents[1] / "bundles" / "clipseg_vpt" / "configs"


def caught(call):
    """Return the error of a call."""
    with pytest.raises(Exception) as raised:  # noqa: B017, PT011
        call()
    return raised.value


def refuse(reason):
    try:
        raise KeyError("inside")
    except KeyError as error:
        raise ValueError(reason) from error


def parsed(expression):
    parser = ConfigParser({"refuse": refuse, "a": expression, "b": {"_target_": "builtins.dict", "a": "@a"}})
    return caught(lambda: parser.get_parsed_content("b"))


def test_the_error_inside_monais_wrappers_is_the_reason():
    error = parsed("$@refuse('take another')")
    assert isinstance(error, RuntimeError)
    assert repr(root_cause(error)) == repr(ValueError("take another"))
    assert error_reason(error).sentence == "ValueError: take another"


def test_an_error_of_a_library_is_not_ours():
    assert error_reason(parsed("$1 / 0")) == ("ZeroDivisionError: division by zero", False)


def test_an_error_without_wrappers_is_its_own_reason():
    error = RuntimeError("alone")
    assert root_cause(error) is error


@pytest.mark.parametrize("workers", [0, 1])
def test_the_reason_of_a_loaders_process_is_found(workers, tmp_path):
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    dataset = Dataset(build_inference_datalist(str(tmp_path)), Compose([LoadImageMaskd(with_label=False)]))
    reason = error_reason(caught(lambda: list(DataLoader(dataset, num_workers=workers))))
    assert reason.is_ours
    assert reason.sentence.startswith(f"ValueError: {tmp_path / 'cut.png'}") and "\n" not in reason.sentence


def test_other_programs_keep_their_hook(monkeypatch):
    def own(*error):
        raise AssertionError

    monkeypatch.setattr(sys, "excepthook", own)
    install_error_hook()
    assert sys.excepthook is own


def test_a_reason_of_several_lines_is_one_line_at_the_end(monkeypatch, capsys):
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", SimpleNamespace(name="monai.bundle.__main__"))
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    install_error_hook()
    error = caught(lambda: refuse("weights do not fit:\n\ta is missing\n"))
    sys.excepthook(type(error), error, error.__traceback__)
    assert capsys.readouterr().err.splitlines()[-1] == "ValueError: weights do not fit: a is missing"


def started(arguments, launcher=("-m", "monai.bundle"), **environment):
    """Start a run in a child process."""
    command = [sys.executable, *launcher, "run", "--config_file", *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)} | environment
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def test_the_last_line_of_a_failed_run_is_the_reason(tmp_path):
    train, evaluate = CONFIGS / "train.yaml", CONFIGS / "evaluate.yaml"
    common = ["--bundle_root", tmp_path, "--dataset_dir", tmp_path / "none", "--pretrained", tmp_path / "none"]
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "monai.bundle")
    both = [str(train), str(CONFIGS / "multi_gpu_train.yaml")]
    runs = {
        "ValueError: split is 'validation'": started([evaluate, *common, "--split", "validation"]),
        f"FileNotFoundError: dataset_dir {tmp_path / 'none'}": started([train, *common]),
        "ValueError: epochs is 0": started([both, *common, "--epochs", 0], torchrun),
        "ValueError: epoch is 3": started([train, *common, "--epoch", 3], TUNEVLSEG_TRACEBACK="1"),
    }
    for reason, run in runs.items():
        said = run.communicate(timeout=240)[0].strip()
        assert run.returncode == 1, said
        tail = "\n".join(said.splitlines()[-9:]) if "epochs" in reason else said.splitlines()[-1]
        assert reason in tail, said
        assert ("Traceback" in said) == ("epochs" in reason or "epoch is" in reason)
    assert list(tmp_path.iterdir()) == []
