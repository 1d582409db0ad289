"""The commands and snippets of README and docs/, run unchanged but for folders and sizes."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from command_tree import OPTIONS
from documentation import MARKED_BLOCK, PAGES, README, ROOT, TEXT, block, lines
from full_size import FULL_SIZE
from generated_pages import NOTEBOOK
from generated_pages import PAGES as PAGES_FROM_CODE
from monai.bundle import ConfigParser
from owners_trees import write_bkai, write_clinicdb, write_kvasir
from PIL import Image
from shared_bundles import share_bundle
from warm_processes import run_module

from monai_tunevlseg.benchmark.presets import PRESETS
from monai_tunevlseg.bundles import bundle_names, read_facts
from monai_tunevlseg.data.demo_datasets import write_demo_dataset
from monai_tunevlseg.demo.tokenizer import build_tokenizer
from monai_tunevlseg.methods import METHODS
from monai_tunevlseg.networks import IMAGE_ONLY_NETWORKS, VLSMS, BaseModel, ImageSettings
from monai_tunevlseg.sharing import Release, Sources

TINY = "monai_tunevlseg/demo/clipseg"
QUICK = f"--pretrained {TINY} --prompt_depth 2 --epochs 1 --batch_size 4 --num_workers 0"
QUICK_TRIAL = "--n-trials 1 " + " ".join(
    f"--override {name}={value}"
    for name, value in {"pretrained": TINY, "epochs": 1, "batch_size": 4, "num_workers": 0}.items()
)
OTHER_PROGRAMS_OPTIONS = {"--bundle_root", "--config_file", "--input_shape", "--no-deps", "--nproc_per_node"} | {
    "--use_trace",
    *("--app", "--conf", "--download", "--host", "--name", "--output", "--studies"),  # MONAI Label's
    *("--bundle_path", "--repo", "--source"),  # MONAI's
    "--verify_dataset_integrity",  # nnU-Net's
    *("--nnodes", "--rdzv_backend", "--rdzv_endpoint", "--rdzv_id", "--standalone"),  # torchrun's
    *("--array", "--cpus-per-task", "--export", "--gpus", "--gpus-per-node", "--job-name", "--nodes"),  # Slurm's
    *("--ntasks-per-node", "--requeue", "--signal", "--time"),
    "--from-literal",  # kubectl's
}
PATHS = sorted(set(re.findall(r"`((?:monai_tunevlseg|configs|docs|benchmarks)/[a-z\d_/.]*\w)/?`", TEXT)))
"""Named files and folders, but for those that a run writes."""
IN_README = {"finetune": "fine-tuning", "decoder": "decoder"}
"""Rows of the table in README that do not have the name of a method."""
WRITTEN_PAGES = {ROOT / "docs" / path for path in (*PAGES_FROM_CODE, Path(NOTEBOOK).with_suffix(".md"))}
"""Pages of the site that exist only once it is built."""


def run(line: str, folder: Path = ROOT) -> str:
    """Run a command in a folder, and return its output."""
    program, *arguments = shlex.split(line)
    if program == "tunevlseg":
        arguments = ["-m", "monai_tunevlseg", *arguments]
    option, module, *arguments = arguments
    assert option == "-m"
    finished = run_module(module, arguments, folder)
    assert finished.returncode == 0, finished.stderr + finished.stdout
    return finished.stdout + finished.stderr


def test_own_data_commands_run(tmp_path):
    data = write_demo_dataset("endoscopy", tmp_path / "data", num_images=10)
    (data / "splits.json").unlink()
    bundle = tmp_path / "bundle"
    shutil.copytree(ROOT / "bundles" / "clipseg_vpt", bundle, ignore=shutil.ignore_patterns("models", "eval", "output"))
    install, check, *runs = lines("own data")
    assert install.startswith("pip install")
    run(check.replace("DIR", str(data)))
    assert len(runs) == 3
    for line in runs:
        line = line.replace("NEW_IMAGES", str(data / "images")).replace("DIR", str(data))
        run(line.replace("bundles/clipseg_vpt", str(bundle)) + f" {QUICK}")
    assert (bundle / "models" / "model.pt").is_file()
    assert (bundle / "eval" / "metrics.json").is_file()
    assert (bundle / "eval" / "splits.json").is_file()
    assert len(list((bundle / "output" / "masks").iterdir())) == 10
    (tmp_path / "texts.json").write_text('{"polyp": ["polyps", "a colon polyp"]}')
    written = (
        (lines("negative texts"), "models/model.pt"),
        (lines("absent texts"), "eval/absent_pairs.csv"),
        (lines("robust"), "models/model.pt"),
        (lines("compared texts"), "eval/compared_texts.csv"),
    )
    for (line,), file in written:
        line = line.replace("DIR", str(data)).replace("FILE", str(tmp_path / "texts.json"))
        run(line.replace("bundles/clipseg_vpt", str(bundle)) + f" {QUICK}")
        assert (bundle / file).is_file()
    trained = json.loads((bundle / "models" / "hyperparameters.json").read_text())
    assert trained["negative_texts"] == 3 and trained["presence_weight"] > 0


def test_the_command_for_few_images_runs(tmp_path):
    data = write_demo_dataset("endoscopy", tmp_path / "data", num_images=10)
    (line,) = lines("few images")
    line = line.replace("DIR", str(data)).replace("--bundle_root bundles/clipseg_vpt", f"--bundle_root {tmp_path}")
    run(f"{line} {QUICK}")
    splits = json.loads((tmp_path / "eval" / "splits.json").read_text())
    assert [len(splits[name]) for name in ("train", "val", "test", "left_out")] == [4, 1, 1, 4]


def test_commands_of_an_experiment_run_and_their_runs_are_compared(tmp_path):
    """A dataset in its original layout, with another base model and fewer epochs."""
    write_kvasir(tmp_path / "data")
    commands = [line.replace("DIR", str(tmp_path / "data")) for line in lines("experiment")]
    assert [line.split()[0] for line in commands] == ["tunevlseg", "tunevlseg", "python", "python"]
    for line in commands:
        run(f"{line} {QUICK} --bundle_root {tmp_path}" if line.startswith("python") else line)
    (compare,) = lines("compare")
    assert "+0.00" in run(compare.replace("RUN_A", f"{tmp_path}/eval").replace("RUN_B", f"{tmp_path}/eval"))


def test_commands_for_other_tools_run(tmp_path):
    """With the masks of the dataset as predictions."""
    (tmp_path / "PREDICTIONS").mkdir()
    for stem, masks in write_kvasir(tmp_path / "data").items():
        Image.fromarray(masks["polyp"]).save(tmp_path / "PREDICTIONS" / f"{stem}.png")
    score, report, compare = (line.replace("DIR", "data") for line in lines("other tools"))
    assert "100.00" in run(score, tmp_path)
    run(report, tmp_path)
    assert "nnU-Net" in (tmp_path / "results" / "report" / "report.html").read_text(encoding="utf-8")
    assert "+0.00" in run(compare.replace("RUN", "PREDICTIONS_eval"), tmp_path)


def test_commands_of_transfer_run(tmp_path):
    """With runs of one epoch; the second command has the matrix of both."""
    for name, write in (("kvasir", write_kvasir), ("clinicdb", write_clinicdb), ("bkai", write_bkai)):
        write(tmp_path / name)
    train = lines("experiment")[2]
    for name in ("kvasir", "clinicdb"):
        line = train.replace("kvasir", name).replace("DIR", f"{tmp_path}/{name}")
        run(f"{line} {QUICK} --bundle_root {tmp_path}/runs/{name}")
    for line, output in zip(lines("transfer"), ("transfer", "matrix"), strict=True):
        line = re.sub("=([A-Z]+)", lambda found: f"={tmp_path}/{found[1].lower()}", line)
        line = line.replace("runs/", f"{tmp_path}/runs/").removesuffix(" --output-dir matrix")
        quick = "--override num_workers=0 --override bootstrap_resamples=50"
        printed = run(f"{line} {quick} --output-dir {tmp_path}/{output}")
        assert "HM" in printed and (tmp_path / output / "matrix.md").is_file()
    table = (tmp_path / "matrix" / "matrix.csv").read_text()
    assert table.splitlines()[0] == "run,trained_on,kvasir,clinicdb,id,ood,harmonic_mean"
    assert len(table.splitlines()) == 3
    assert (tmp_path / "transfer" / "transfer.csv").is_file()


def test_commands_of_search_and_benchmark_run(tmp_path):
    """One trial of one epoch for one experiment."""
    write_kvasir(tmp_path / "data" / "kvasir")
    search, benchmark, report, preset = lines("study")
    run(search.replace("DIR", f"{tmp_path}/data/kvasir") + f" --output-dir {tmp_path}/search {QUICK_TRIAL}")
    assert (tmp_path / "search" / "best" / "models" / "model.pt").is_file()
    benchmark = benchmark.replace("'kvasir/*,busi/clipseg_*'", "kvasir/clipseg_vpt").replace("ROOT", f"{tmp_path}/data")
    run(f"{benchmark} --results {tmp_path}/results {QUICK_TRIAL}")
    run(report.replace("report results", f"report {tmp_path}/results"))
    assert "Kvasir-SEG" in (tmp_path / "results" / "report" / "report.html").read_text(encoding="utf-8")
    program, command, _, name, *_ = shlex.split(preset)
    assert (program, command) == ("tunevlseg", "benchmark") and name in PRESETS


def test_the_command_for_nnunet_prints_those_of_nnunet(tmp_path):
    write_kvasir(tmp_path / "data")
    convert, *commands = lines("nnunet")
    printed = run(convert.replace("DIR", "data"), tmp_path).replace(f"{tmp_path}/", "")
    assert printed.index("export nnUNet_raw=nnUNet_raw\n") < printed.index("\n".join(commands))


def test_commands_of_the_feature_cache_run(tmp_path):
    write_kvasir(tmp_path / "data")
    data = write_demo_dataset("endoscopy", tmp_path / "own", num_images=10)
    train, search = lines("cache")
    train = train.replace("--bundle_root bundles/clipseg_coop", f"--bundle_root {tmp_path}").replace("DIR", str(data))
    assert "views of 8 images for the feature cache" in run(f"{train} {QUICK}")
    search = search.replace("DIR", f"{tmp_path}/data")
    run(f"{search} {QUICK_TRIAL} --override num_views=1 --output-dir {tmp_path}/search")
    assert list((tmp_path / "search").rglob("*.safetensors"))


def test_the_command_for_sam3_runs(tmp_path, tiny_sam3_dir):
    data = write_demo_dataset("endoscopy", tmp_path / "data", num_images=10)
    (line,) = lines("sam3")
    line = line.replace("--bundle_root bundles/sam3_coop", f"--bundle_root {tmp_path}").replace("DIR", str(data))
    printed = run(f"{line} --pretrained {tiny_sam3_dir} --prompt_depth 2 --epochs 1 --num_workers 0")
    assert "8 views of 8 images for the feature cache" in printed
    assert (tmp_path / "models" / "model.pt").is_file()


def test_commands_of_sharing_run(tmp_path):
    """Those for the user of a shared bundle are run in tests/sharing."""
    write_kvasir(tmp_path / "data")
    for line in lines("share"):
        line = line.replace("DIR", str(tmp_path / "data")).replace("runs/kvasir", f"{tmp_path}/run")
        line = line.replace("shared", f"{tmp_path}/shared").replace("model.onnx", f"{tmp_path}/model.onnx")
        run(f"{line} {QUICK}" if line.startswith("python") else line)
    assert (tmp_path / "shared" / "kvasir_polyp_clipseg_vpt_v0.1.0.zip").is_file()
    assert (tmp_path / "model.onnx").is_file()


def test_python_snippet_runs(tmp_path, monkeypatch):
    """With a bundle of the same name that has an embedded base model."""
    release, sources = Release(name="clipseg_vpt"), Sources(configs_dir=ROOT / "configs")
    share_bundle("ultrasound/clipseg_vpt", tmp_path / "bundles", sources=sources, release=release)
    Image.new("RGB", (50, 40), (215, 30, 35)).save(tmp_path / "image.png")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(block("python"), names)
    assert names["masks"].dtype == bool and names["masks"].shape == (1, 40, 50)


def test_every_block_is_run_by_a_test():
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    markers = [found["marker"] for found in MARKED_BLOCK.finditer(TEXT)]
    assert len(markers) == len(re.findall(r"^```(?:sh|python|yaml)$", TEXT, re.MULTILINE))
    assert [marker for marker in markers if not re.search(rf'(?:block|lines|documented)\("{marker}"\)', tests)] == []


def test_commands_of_make_are_those_of_ci():
    targets = {target for line in [*lines("demo"), *lines("make")] for target in line.split()[1:]}
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").replace("\\\n", " ")
    in_ci = {word for line in re.findall(r"^make (.+)$", script, re.MULTILINE) for word in line.split()}
    assert targets - in_ci == {"bundles", "pictures", "bench"}


@pytest.mark.parametrize("targets", sorted(set(re.findall(r"(?:^|`)make ([a-z-]+(?: [a-z-]+)*)", TEXT, re.MULTILINE))))
def test_make_targets_exist(targets):
    command = ["make", "--dry-run", *targets.split()]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr


def test_commands_and_options_exist():
    named = set(re.findall(r"(?<!_)tunevlseg ([a-z]+(?:-[a-z]+)*)", TEXT))
    assert {name for name in named if f"tunevlseg {name}" not in OPTIONS} == set()
    configs = (ROOT / "bundles").glob("*/configs/*.yaml")
    hyperparameters = {f"--{name}" for path in configs for name in yaml.safe_load(path.read_text(encoding="utf-8"))}
    known = set.union(*OPTIONS.values(), hyperparameters, OTHER_PROGRAMS_OPTIONS)
    assert {option for option in re.findall(r"(?<![\w-])--[a-z][\w-]*", TEXT) if option not in known} == set()


def test_readme_is_short():
    assert len(README.read_text(encoding="utf-8").split()) <= 900


def test_named_bundles_exist():
    assert all((ROOT / "bundles" / name).is_dir() for name in set(re.findall(r"bundles/(\w+_\w+)", TEXT)))


@pytest.mark.parametrize("path", PATHS)
def test_named_paths_exist(path):
    assert (ROOT / path).exists()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_and_pictures_exist(page):
    targets = re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))
    local = {(page.parent / target).resolve() for target in targets if "://" not in target}
    assert {path for path in local if not path.is_file()} <= WRITTEN_PAGES


@pytest.fixture(scope="module")
def full_size() -> dict[str, BaseModel]:
    """The base models at the published size, without memory."""
    with torch.device("meta"):
        models = {name: FULL_SIZE[name]() for name in VLSMS}
    images = ImageSettings(64, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    return {name: BaseModel(name, model, build_tokenizer(), images, name) for name, model in models.items()}


@pytest.mark.parametrize("bundle", bundle_names(ROOT / "configs"))
def test_the_table_has_every_bundle_with_parameters_at_full_size(bundle, full_size):
    model, _, method = bundle.partition("_")
    parser = ConfigParser()
    parser.read_config(str(ROOT / "bundles" / bundle / "configs" / "evaluate.yaml"))
    parser.update({"context_initializer": None})  # tensors without memory have no values to look up
    if model in IMAGE_ONLY_NETWORKS:
        network = parser.get_parsed_content("network_def")
    else:
        names = ("method", "method_kwargs", "upsampler", "unfreeze")
        with torch.device("meta"):
            network = VLSMS[model](full_size[model], ["polyp"], *(parser.get_parsed_content(name) for name in names))
    title = "none" if parser.get_parsed_content("method") is None else METHODS[method].__name__
    count = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    size = sum(value.nbytes for name, value in network.state_dict().items() if name != "_extra_state") / 1000
    row = re.search(rf"\| `{bundle}` \| {title} \|.*\| ([\d,]+) \| ([\d.]+) ([kMG])B \|", TEXT)
    assert row and int(row[1].replace(",", "")) == count
    assert float(row[2]) * {"k": 1, "M": 1e3, "G": 1e6}[row[3]] == pytest.approx(size, rel=0.05)
    summary = re.search(rf"^\| {IN_README.get(method, title)} \|.*", README.read_text(encoding="utf-8"), re.MULTILINE)
    if model in VLSMS and method != "zero_shot":
        assert summary and summary[0].split("|")[3 + list(VLSMS).index(model)].strip() == f"{count:,}"


@pytest.mark.parametrize("model", VLSMS)
def test_the_largest_prompt_depths_are_those_of_the_published_model(model, full_size):
    with torch.device("meta"):
        sizes = VLSMS[model](full_size[model], ["polyp"], upsampler=False).encoder_sizes()
    layers = {"text": sizes.text_layers, "vision": sizes.vision_layers}
    depths = {encoder: count for encoder, count in layers.items() if count is not None}
    assert read_facts(ROOT / "configs" / "models" / f"{model}.yaml")["max_prompt_depth"] == depths
    largest = {"coop": depths["text"]} | (
        {"vpt": depths["vision"], "maple": min(depths.values())} if len(depths) == 2 else {}
    )
    for method, depth in largest.items():
        config = ROOT / "bundles" / f"{model}_{method}" / "configs" / "train.yaml"
        assert f"; at most {depth} with the published model\n" in config.read_text(encoding="utf-8")
