"""Bundles that `tunevlseg share` writes, and input that it refuses."""

import hashlib
import json
import os
import re
import shutil
import zipfile
from importlib.metadata import requires, version
from itertools import islice
from pathlib import Path

import pytest
import torch
import yaml
from local_server import serve
from monai.apps.utils import HashCheckError
from monai.bundle import download_large_files, verify_metadata
from packaging.requirements import Requirement
from safetensors.torch import load_file, save_file
from shared_bundles import share_bundle
from shared_names import EXPERIMENT, NAME, ROOT
from typer.testing import CliRunner

from monai_tunevlseg.__main__ import app
from monai_tunevlseg.calibration import read_calibration
from monai_tunevlseg.demo import demo_model
from monai_tunevlseg.digests import file_digest
from monai_tunevlseg.inspection import inspect_bundle
from monai_tunevlseg.networks import load_clipseg
from monai_tunevlseg.networks.identity import identity_from_tensor
from monai_tunevlseg.sharing import Release, Sources, pack_bundle, verify_bundle
from monai_tunevlseg.sharing.large_files import write_large_files
from monai_tunevlseg.sharing.onnx_export import load_for_export
from monai_tunevlseg.sharing.trained_run import read_trained_run
from monai_tunevlseg.sharing.verification import FOLDER_OPTIONS

HERE = Sources(configs_dir=ROOT / "configs")


def refused(*arguments):
    result = CliRunner().invoke(app, ["share", *map(str, arguments), "--configs-dir", str(ROOT / "configs")])
    assert result.exit_code == 1 and result.output.count("error: ") == 1 and "Traceback" not in result.output
    return result.output


def config(folder, name="train"):
    return yaml.safe_load((folder / "configs" / f"{name}.yaml").read_text())


def test_the_command_writes_checks_and_packs(shared):
    output, printed = shared
    assert printed.count("checked: ") == 5 and "error" not in printed
    assert (output / f"{NAME}_v0.1.0.zip").is_file()
    wanted = "LICENSE configs/metadata.json configs/train.yaml configs/evaluate.yaml configs/inference.yaml "
    wanted += "models/model.pt docs/README.md docs/data_license.txt"
    files = {path.relative_to(output / NAME).as_posix() for path in (output / NAME).rglob("*") if path.is_file()}
    assert set(wanted.split()) <= files
    assert not {file for file in files if file.startswith(("eval/", "output/"))}, "the checks left files"


def test_no_file_contains_a_path_of_this_machine(shared, run_dir):
    for path in (shared[0] / NAME).rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            for place in (str(ROOT), str(run_dir), f"{Path.home()}/", "/tmp/"):  # noqa: S108
                assert place.encode() not in content, (path, place)


def test_hyperparameters_of_the_run_are_set_in_all_configs(shared):
    train = config(shared[0] / NAME)
    assert (train["learning_rate"], train["prompt_depth"], train["epochs"]) == (0.004, 3, 1)
    assert train["class_names"] == ["lesion"] and train["pretrained"].startswith("$demo.")
    for name in ("evaluate", "inference"):
        assert config(shared[0] / NAME, name)["prompt_depth"] == 3
        assert config(shared[0] / NAME, name)["intensity_window"] == [0, 200]
    same = json.loads((shared[0] / NAME / "configs" / "train.json").read_text())
    assert same == train


def test_metadata_and_card_have_the_metrics(shared, run_dir):
    metadata = json.loads((shared[0] / NAME / "configs" / "metadata.json").read_text())
    metrics = json.loads((run_dir / "eval" / "metrics.json").read_text())
    assert metadata["eval_metrics"]["mean_dice"] == pytest.approx(metrics["dice"] / 100, abs=1e-4)
    assert metadata["eval_metrics"]["split"] == "test"
    assert metadata["network_data_format"]["outputs"]["pred"]["channel_def"] == {"0": "lesion"}
    assert metadata["base_model"]["fingerprint"] == load_clipseg(demo_model("clipseg")).fingerprint
    assert metadata["version"] in metadata["changelog"]
    assert metadata["name"] == "CLIPSeg with VPT on the demo set ultrasound"
    assert metadata["network_data_format"]["inputs"]["image"]["modality"] == "n/a"
    assert metadata["checkpoint_digest"] == file_digest(shared[0] / NAME / "models" / "model.pt")
    low, high = metrics["intervals"]["dice"]
    assert f"| {metrics['dice']:.2f} % | {low:.2f} to {high:.2f} |" in (shared[0] / NAME / "docs/README.md").read_text()


def test_the_card_has_the_sections_of_the_model_zoo(shared):
    """The sections of its ``docs/readme_template.md``, and those of its own bundles."""
    headings = re.findall(r"^##+ (.*)$", (shared[0] / NAME / "docs" / "README.md").read_text(), re.MULTILINE)
    wanted = "**Authors**,**Tags**,Model Description,Data,Training configuration,Preprocessing,Output,Calibration,"
    wanted += "Performance,MONAI Bundle Commands,System Configuration,Limitations,Citation Info,References,License"
    assert headings == wanted.split(",")


def test_the_card_has_the_hyperparameters_of_the_run(shared):
    card = (shared[0] / NAME / "docs" / "README.md").read_text()
    assert "learning rate 0.004" in card and "Epochs: at most 1;" in card and "prompt_depth 3" in card


def test_the_card_has_the_part_of_the_images_that_a_run_used_and_the_bundle_trains_on_all(run_dir, shared, tmp_path):
    assert "num_shots" not in (shared[0] / NAME / "docs" / "README.md").read_text()
    folder = shutil.copytree(run_dir, tmp_path / "run")
    record = folder / "models" / "hyperparameters.json"
    used = {"num_shots": 4, "val_fraction": "same", "subset_seed": 2}
    record.write_text(json.dumps(json.loads(record.read_text()) | used))
    bundle = share_bundle(EXPERIMENT, tmp_path / "out", folder, HERE)
    assert "`num_shots` 4, `val_fraction` same, `subset_seed` 2" in (bundle / "docs" / "README.md").read_text()
    assert [config(bundle)[name] for name in used] == [None, None, 0]
    record.write_text(json.dumps(json.loads(record.read_text()) | {"num_shots": "many"}))
    with pytest.raises(ValueError, match="num_shots is 'many'"):
        share_bundle(EXPERIMENT, tmp_path / "other", folder, HERE)


def test_metadata_follows_monais_schema(shared, shared_dir):
    schema = shared_dir / "monai" / "meta_schema_20240725.json"
    verify_metadata(meta_file=str(shared[0] / NAME / "configs" / "metadata.json"), filepath=str(schema))


def test_the_weights_are_those_of_the_run(shared, run_dir):
    ours, theirs = (torch.load(folder / "models/model.pt", weights_only=True) for folder in (shared[0] / NAME, run_dir))
    identity = identity_from_tensor(ours.pop("_extra_state"))
    assert identity == identity_from_tensor(theirs.pop("_extra_state")) | {"base_model": identity["base_model"]}
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_the_calibration_is_that_of_the_run_and_belongs_to_the_shared_weights(shared, run_dir):
    folder = shared[0] / NAME
    ours, theirs = (read_calibration(each / "models" / "model.pt") for each in (folder, run_dir))
    assert ours == theirs and list(ours.classes) == ["lesion"]
    assert file_digest(folder / "models" / "model.pt") != file_digest(run_dir / "models" / "model.pt")
    fitted = ours.classes["lesion"]
    assert load_for_export(folder).inferer.calibration == ours
    assert f"| lesion | {fitted.temperature:.3f} | {fitted.threshold:.3f} |" in (folder / "docs/README.md").read_text()
    metadata = json.loads((folder / "configs" / "metadata.json").read_text())
    assert metadata["calibration"] == {"lesion": {"temperature": fitted.temperature, "threshold": fitted.threshold}}


def test_a_run_with_the_calibration_of_another_checkpoint_is_refused(run_dir, tmp_path):
    run = shutil.copytree(run_dir, tmp_path / "run")
    path = run / "models" / "calibration.json"
    path.write_text(path.read_text().replace(file_digest(run / "models" / "model.pt"), "0" * 16))
    assert "calibration.json" in refused(EXPERIMENT, "--run-dir", run, "--output", tmp_path / "shared")
    path.unlink()
    folder = share_bundle(EXPERIMENT, tmp_path, run, HERE)
    assert not (folder / "models" / "calibration.json").exists()
    assert "Calibration" not in (folder / "docs" / "README.md").read_text()
    assert "calibration" not in json.loads((folder / "configs" / "metadata.json").read_text())


def test_a_bundle_without_a_run_has_no_metrics(tmp_path):
    folder = share_bundle("echo/clipseg_vpt", tmp_path, sources=HERE, release=Release(version="1.2.3"))
    metadata = json.loads((folder / "configs" / "metadata.json").read_text())
    assert folder.name == "echo_clipseg_vpt" and "eval_metrics" not in metadata
    assert metadata["network_data_format"]["outputs"]["pred"]["num_channels"] == 3
    assert metadata["network_data_format"]["outputs"]["pred"]["channel_def"]["1"] == "myocardium"
    assert "**Not trained.**" in (folder / "docs" / "README.md").read_text()
    assert config(folder)["initial_checkpoint"] is None
    assert load_for_export(folder).network(torch.rand(1, 3, 96, 96)).shape == (1, 3, 96, 96)


def test_a_bundle_of_a_public_dataset_names_owner_and_licenses(tmp_path, tiny_clipseg_dir):
    sources = Sources(pretrained=tiny_clipseg_dir, overrides={"prompt_depth": 2}, configs_dir=ROOT / "configs")
    folder = share_bundle("kvasir/clipseg_vpt", tmp_path, sources=sources)
    assert folder.name == "kvasir_polyp_clipseg_vpt"
    train = config(folder)
    assert (train["pretrained"], train["layout"], train["prompt_depth"]) == ("CIDAS/clipseg-rd64", "kvasir", 2)
    assert train["base_fingerprint"] == load_clipseg(tiny_clipseg_dir).fingerprint
    card, terms = ((folder / "docs" / name).read_text() for name in ("README.md", "data_license.txt"))
    metadata = json.loads((folder / "configs" / "metadata.json").read_text())
    assert metadata["network_data_format"]["inputs"]["image"]["modality"] == "endoscopy"
    assert metadata["dataset"] == {"name": "kvasir", "title": "Kvasir-SEG"}
    assert "Kvasir-SEG" in card and "Jha et al." in terms and "research and education" in terms
    for part in ("**Base model**", "**Data**", "**Weights**"):
        assert part in card


def test_another_base_model_is_refused_with_both_fingerprints(shared, tmp_path):
    changed = shutil.copytree(demo_model("clipseg"), tmp_path / "changed")
    weights = load_file(changed / "model.safetensors")
    next(iter(weights.values())).add_(1)
    save_file(weights, changed / "model.safetensors", metadata={"format": "pt"})
    was, now = (load_clipseg(folder).fingerprint for folder in (demo_model("clipseg"), changed))
    with pytest.raises(ValueError, match=f"{now}.*{was}"):
        load_for_export(shared[0] / NAME, changed)


def test_options_of_the_checks_exist_in_a_bundle(shared):
    assert set(FOLDER_OPTIONS) <= set(config(shared[0] / NAME))


def test_zip_files_are_reproducible(run_dir, shared, tmp_path):
    again = share_bundle(EXPERIMENT, tmp_path, run_dir, HERE)
    for path in again.rglob("*"):
        os.utime(path, (0, 0))
    (again / "LICENSE").chmod(0o600)
    assert pack_bundle(again).read_bytes() == (shared[0] / f"{NAME}_v0.1.0.zip").read_bytes()


def test_a_failed_check_is_reported_and_removes_nothing(shared, schema, tmp_path):
    folder = shutil.copytree(shared[0] / NAME, tmp_path / NAME)
    metadata = folder / "configs" / "metadata.json"
    metadata.write_text(metadata.read_text().replace('"num_channels": 1', '"num_channels": 2'))
    before = sorted(folder.rglob("*"))
    first, second = islice(verify_bundle(folder, schema=schema), 2)
    assert first.problem is None and {"1", "2"} <= set(re.findall(r"\b\d+\b", second.problem))
    assert sorted(folder.rglob("*")) == before


def test_a_bundle_with_a_failed_check_is_kept_but_not_packed(schema, tmp_path):
    arguments = [
        "share",
        EXPERIMENT,
        "--output",
        str(tmp_path),
        "--zip",
        "--schema",
        str(schema),
        "--override",
        "image_size=50",
    ]
    result = CliRunner().invoke(app, [*arguments, "--configs-dir", str(ROOT / "configs")])
    assert result.exit_code == 1 and "error: network input" in result.output and "50x50" in result.output
    assert (tmp_path / NAME / "configs" / "train.yaml").is_file()
    assert not list(tmp_path.glob("*.zip"))


def test_a_check_without_the_schema_is_skipped(shared, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder = shutil.copytree(shared[0] / NAME, tmp_path / NAME)
    metadata = json.loads((folder / "configs" / "metadata.json").read_text())
    metadata["schema"] = "http://127.0.0.1:9/schema.json"
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
    check = next(iter(verify_bundle(folder)))
    assert check.problem is None and "--schema" in check.skipped


def test_invalid_input_is_named(run_dir, shared, tmp_path):
    assert EXPERIMENT in refused("ultrasound/clipseg_vptt", "--output", tmp_path)
    assert "ultrasound/clipseg_zero_shot" in refused("ultrasound/clipseg_zero_shot", "--output", tmp_path)
    assert "models/model.pt" in refused(EXPERIMENT, "--output", tmp_path, "--run-dir", tmp_path)
    other = refused("ultrasound/clipseg_coop", "--output", tmp_path, "--run-dir", run_dir)
    assert "'vpt'" in other and "'coop'" in other
    folder = str(shared[0] / NAME)
    assert folder in refused(EXPERIMENT, "--output", shared[0], "--run-dir", run_dir)
    assert f"{folder}_v0.1.0.zip" in refused(EXPERIMENT, "--output", shared[0], "--run-dir", run_dir, "--zip")
    assert "X.Y.Z" in refused(EXPERIMENT, "--output", tmp_path, "--version", "one")
    assert "learning_rat" in refused(EXPERIMENT, "--output", tmp_path, "--override", "learning_rat=1")
    missing = refused(EXPERIMENT, "--output", tmp_path, "--run-dir", run_dir, "--metrics", tmp_path / "none.json")
    assert "none.json" in missing.replace("\n", "")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_or_foreign_checkpoint_is_named(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "model.pt").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"model\.pt"):
        read_trained_run(tmp_path)
    torch.save({"weight": torch.zeros(1)}, tmp_path / "models" / "model.pt")
    with pytest.raises(ValueError, match=r"model\.pt.*_extra_state"):
        read_trained_run(tmp_path)


def test_a_record_of_another_checkpoint_is_refused(run_dir, tmp_path):
    folder = shutil.copytree(run_dir, tmp_path / "run")
    shutil.rmtree(folder / "eval")
    state = torch.load(folder / "models" / "model.pt", weights_only=True)
    state["method.context"] += 1
    torch.save(state, folder / "models" / "model.pt")
    with pytest.raises(ValueError, match=r"hyperparameters\.json.*model\.pt"):
        read_trained_run(folder)
    for name in ("hyperparameters.json", "calibration.json"):
        (folder / "models" / name).unlink()
    assert read_trained_run(folder).hyperparameters == {}


def test_metrics_of_other_weights_are_refused(run_dir, tmp_path):
    folder = shutil.copytree(run_dir, tmp_path / "run")
    state = torch.load(folder / "models" / "model.pt", weights_only=True)
    state["method.context"] += 1
    torch.save(state, folder / "models" / "model.pt")
    with pytest.raises(ValueError, match=r"metrics\.json.*model\.pt.*checkpoint_digest"):
        read_trained_run(folder)
    metrics = json.loads((folder / "eval" / "metrics.json").read_text())
    metrics["network"]["method"] = None
    (folder / "eval" / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(ValueError, match=r"metrics\.json.*model\.pt.*\bmethod\b"):
        read_trained_run(folder)


def test_arguments_of_training_alone_may_differ_in_the_evaluation(run_dir, tmp_path):
    folder = shutil.copytree(run_dir, tmp_path / "run")
    metrics = json.loads((folder / "eval" / "metrics.json").read_text())
    metrics["network"]["method_kwargs"]["dropout"] = 0.5
    (folder / "eval" / "metrics.json").write_text(json.dumps(metrics))
    assert read_trained_run(folder).metrics == metrics


def test_the_best_bundle_of_a_search_is_a_run_with_metrics(run_dir, tmp_path):
    best = tmp_path / "best"
    shutil.copytree(run_dir / "models", best / "models")
    shutil.copytree(run_dir / "eval", tmp_path / "test")
    run = read_trained_run(best)
    assert run.metrics["split"] == "test" and run.hyperparameters["learning_rate"] == 0.004


def test_a_large_file_is_listed_instead_of_packed(shared, tmp_path):
    folder = shutil.copytree(shared[0] / NAME, tmp_path / "host" / NAME)
    with (folder / "models" / "model.ts").open("wb") as stream:
        stream.truncate(25_000_001)
    for wrong in ("ftp://host/x", "host/x", "https:///x", "https://host/x?y"):
        with pytest.raises(ValueError, match=re.escape(wrong)):
            pack_bundle(folder, wrong)
    with serve(tmp_path / "host") as url:
        packed = pack_bundle(folder, f"{url}/{NAME}/")
        with zipfile.ZipFile(packed) as archive:
            assert f"{NAME}/models/model.ts" not in archive.namelist()
            archive.extractall(tmp_path / "other")
        download_large_files(bundle_path=str(tmp_path / "other" / NAME))  # compares the digest, too
        copy = tmp_path / "other" / NAME / "models" / "model.ts"
        assert copy.stat().st_size == 25_000_001
        copy.unlink()
        (folder / "models" / "model.ts").write_bytes(b"another file")
        with pytest.raises(HashCheckError):
            download_large_files(bundle_path=str(tmp_path / "other" / NAME))


def test_the_url_of_a_large_file_may_be_filled_in_later(shared, tmp_path):
    folder = shutil.copytree(shared[0] / NAME, tmp_path / NAME)
    assert write_large_files(folder) == [] and not (folder / "large_files.yml").exists()
    (folder / "models" / "model.ts").write_bytes(bytes(25_000_001))
    assert write_large_files(folder) == [folder / "models" / "model.ts"]
    (entry,) = yaml.safe_load((folder / "large_files.yml").read_text())["large_files"]
    digest = hashlib.sha256(bytes(25_000_001)).hexdigest()
    assert entry == {"path": "models/model.ts", "url": "", "hash_val": digest, "hash_type": "sha256"}


def test_required_packages_can_be_installed_beside_the_wheel(shared):
    """The Model Zoo installs exactly these versions: those of this machine, all of which the wheel accepts."""
    metadata = json.loads((shared[0] / NAME / "configs" / "metadata.json").read_text())
    required = metadata["required_packages_version"] | {
        "monai": metadata["monai_version"],
        "torch": metadata["pytorch_version"],
        "numpy": metadata["numpy_version"],
    }
    accepted = {Requirement(line).name: Requirement(line) for line in requires("monai_tunevlseg") if ";" not in line}
    assert {"monai_tunevlseg", "transformers"} <= set(required)
    for name, number in required.items():
        assert Requirement(f"{name}=={number}").specifier.contains(version(name)), name
        assert name not in accepted or accepted[name].specifier.contains(number), name


def test_nothing_in_a_shared_bundle_is_unknown_to_its_inspection(shared):
    for path in (shared[0] / NAME, shared[0] / f"{NAME}_v0.1.0.zip"):
        result = inspect_bundle(path, ROOT / "bundles")
        assert result.findings == [] and result.known > 300
        assert len(result.digests) == 2  # of metadata.json and calibration.json
