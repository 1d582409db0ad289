"""Untrusted checkpoints, hyperparameters and metrics are read as data or refused."""

import json
import re
import shutil

import pytest
import torch
import yaml
from shared_bundles import share_bundle
from shared_names import EXPERIMENT, NAME, ROOT
from typer.testing import CliRunner

from monai_tunevlseg.__main__ import app
from monai_tunevlseg.bundles.config_values import set_config_values
from monai_tunevlseg.networks.identity import identity_from_tensor, identity_to_tensor
from monai_tunevlseg.sharing import Release, Sources, build_bundle_spec, pack_bundle
from monai_tunevlseg.sharing.trained_run import read_trained_run

HERE = Sources(configs_dir=ROOT / "configs")
DAMAGED = {"deep": b"[" * 100_000, "list": b"[]", "bytes": b"\xff\xfe", "half": b'{"a": '}
BAKED = ["polyp", "äöü 漢字 😀", 'quote " and \\', "a: b - c", ["😀", "null", "1"], {"é": 1}, 1e-5]


@pytest.fixture
def run(run_dir, tmp_path):
    return shutil.copytree(run_dir, tmp_path / "run")


@pytest.fixture
def planted(tmp_path):
    """A file and an expression that creates it when evaluated."""
    return tmp_path / "planted", f"$__import__('pathlib').Path({str(tmp_path / 'planted')!r}).write_text('x') and 0.1"


def change_identity(run, **values):
    state = torch.load(run / "models" / "model.pt", weights_only=True)
    state["_extra_state"] = identity_to_tensor(identity_from_tensor(state["_extra_state"]) | values)
    torch.save(state, run / "models" / "model.pt")


def change_json(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def refused(run, output):
    arguments = [
        "share",
        EXPERIMENT,
        "--run-dir",
        str(run),
        "--output",
        str(output),
        "--configs-dir",
        str(ROOT / "configs"),
    ]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1 and result.output.startswith("error: ") and not list(output.glob("*"))
    return result.output.replace("\n", "")


@pytest.mark.parametrize("name", ["class_names", "method_kwargs", "base_model", "network", "method"])
def test_expressions_in_a_checkpoint_are_refused(run, planted, tmp_path, name):
    file, expression = planted
    value = {"class_names": [expression], "method_kwargs": {"num_context": expression}}.get(name, expression)
    change_identity(run, **{name: value})
    assert "model.pt" in refused(run, tmp_path / "output")
    assert not file.exists()


@pytest.mark.parametrize("name", ["learning_rate", "class_names", "layout", "unheard_of"])
@pytest.mark.parametrize("form", ["$", "@device", "%configs/train.yaml", "grade #2"])
def test_expressions_in_hyperparameters_are_refused(run, planted, tmp_path, name, form):
    file, expression = planted
    change_json(run / "models" / "hyperparameters.json", **{name: expression if form == "$" else form})
    assert "hyperparameters.json" in refused(run, tmp_path / "output")
    assert not file.exists()


@pytest.mark.parametrize("values", [{"learning_rate": -1}, {"epochs": "many"}, {"image_size": [352]}, {"layout": 3}])
def test_invalid_hyperparameters_are_refused(run, tmp_path, values):
    change_json(run / "models" / "hyperparameters.json", **values)
    assert next(iter(values)) in refused(run, tmp_path / "output")


def test_only_known_hyperparameters_are_shared(run):
    before = build_bundle_spec(EXPERIMENT, run, HERE).config_values
    structure = {"imports": [], "initialize": [], "run": ["x"], "ckpt_dir": "/elsewhere", "_own": "note #1"}
    change_json(run / "models" / "hyperparameters.json", **structure)
    assert build_bundle_spec(EXPERIMENT, run, HERE).config_values == before


def test_folders_and_machine_settings_are_not_shared(run):
    before = build_bundle_spec(EXPERIMENT, run, HERE).config_values
    folders = dict.fromkeys(("dataset_dir", "splits_file", "trained_splits", "feature_cache_dir"), "/elsewhere")
    machine = {"num_workers": 9, "num_processes": 2, "cache_rate": 1.0, "feature_cache_size": 99.0, "compile": True}
    change_json(run / "models" / "hyperparameters.json", **folders, **machine)
    assert build_bundle_spec(EXPERIMENT, run, HERE).config_values == before


def test_the_published_attack_is_refused(run, shared_dir, tmp_path):
    attack = shared_dir / "cases" / "faults" / "security" / "hyperparameters.json"
    shutil.copyfile(attack, run / "models" / "hyperparameters.json")
    assert "__import__" in refused(run, tmp_path / "output")


@pytest.mark.parametrize(
    "values",
    [
        {"class_names": "lesion"},
        {"class_names": []},
        {"class_names": [1]},
        {"method_kwargs": [1]},
        {"method_kwargs": {"ckpt_dir": "/elsewhere"}},
        {"upsampler": "yes"},
        {"unfreeze": "everything"},
        {"base_fingerprint": None},
    ],
    ids=lambda values: "-".join(f"{name}={value}" for name, value in values.items()),
)
def test_an_invalid_checkpoint_is_named(run, values):
    change_identity(run, **values)
    with pytest.raises(ValueError, match=rf"model\.pt.*{next(iter(values))}"):
        read_trained_run(run)


@pytest.mark.parametrize(
    "values",
    [
        {"pairs": "many"},
        {"split": "<script>"},
        {"classes": {"lesion": {"dice": "good"}}},
        {"classes": []},
        {"dice": "99"},
        {"intervals": {"dice": [1]}},
        {"network": None},
        {"bootstrap": {}},
    ],
    ids=lambda values: next(iter(values)),
)
def test_invalid_metrics_are_named(run, values):
    change_json(run / "eval" / "metrics.json", **values)
    with pytest.raises(ValueError, match=rf"metrics\.json.*{next(iter(values))}"):
        read_trained_run(run)


def test_metrics_without_a_digest_are_refused(run):
    path = run / "eval" / "metrics.json"
    metrics = json.loads(path.read_text())
    del metrics["checkpoint_digest"]
    path.write_text(json.dumps(metrics | {"dice": 99.9}))
    with pytest.raises(ValueError, match=r"metrics\.json.*checkpoint_digest"):
        read_trained_run(run)


@pytest.mark.parametrize("file", ["models/hyperparameters.json", "eval/metrics.json"])
@pytest.mark.parametrize(
    "content", [b"[" * 100_000, b"[]", b"\xff\xfe", b'{"a": '], ids=["deep", "list", "bytes", "half"]
)
def test_damaged_json_names_the_file(run, file, content):
    (run / file).write_bytes(content)
    with pytest.raises(ValueError, match=file.rpartition("/")[2]):
        read_trained_run(run)


def test_the_card_has_no_html_and_no_broken_table(tmp_path):
    name = "<script>alert(1)</script> a|b ![](http://x/y.png)"
    sources = Sources(configs_dir=ROOT / "configs", overrides={"class_names": [name]})
    folder = share_bundle(
        EXPERIMENT, tmp_path, sources=sources, release=Release(authors="<b>somebody</b>", changelog="<i>new</i>")
    )
    card = (folder / "docs" / "README.md").read_text()
    assert "<script" not in card and "<i>" not in card
    assert r"&lt;script&gt;alert(1)&lt;/script&gt; a\|b !\[\](http://x/y.png)" in card
    assert yaml.safe_load((folder / "configs" / "inference.yaml").read_text())["class_names"] == [name]


@pytest.mark.parametrize("text", ["![x](http://e.org/x.png)", "[x](http://e.org)", "\\[x](http://e.org)", "a\\|b"])
def test_the_card_has_no_untrusted_links(tmp_path, text):
    folder = share_bundle(EXPERIMENT, tmp_path, sources=HERE, release=Release(changelog=text))
    change = (folder / "docs" / "README.md").read_text().split("Version 0.1.0: ")[1].split(".\n")[0]
    assert not re.search(r"(?<!\\)(\\\\)*[\[\]|]", change) and re.sub(r"\\(.)", r"\1", change) == text


@pytest.mark.parametrize("option", ["changelog", "authors", "weights_license"])
def test_expressions_in_a_release_are_refused(option):
    with pytest.raises(ValueError, match=option):
        Release(**{option: "$print(1)"})


def test_expressions_in_options_are_refused():
    with pytest.raises(ValueError, match="--override"):
        build_bundle_spec(
            EXPERIMENT, sources=Sources(configs_dir=ROOT / "configs", overrides={"learning_rate": "$0.1"})
        )
    with pytest.raises(ValueError, match="--base-model-id"):
        build_bundle_spec(EXPERIMENT, sources=Sources(configs_dir=ROOT / "configs", base_model_id="$print(1)"))


@pytest.mark.parametrize("value", [*BAKED, *(f"a{sign}b" for sign in "\x7f\x85\xa0\u2028\u2029\ufeff\uffff\t\n")])
def test_values_in_a_config_are_read_back_unchanged(value):
    assert yaml.safe_load(set_config_values("value: 1 # what it is\n", {"value": value})) == {"value": value}


def test_links_and_hidden_files_are_not_packed(shared, tmp_path):
    folder = shutil.copytree(shared[0] / NAME, tmp_path / NAME)
    (tmp_path / "secret").mkdir()
    for name in ("docs/.env", "docs/more"):
        path = folder / name
        path.write_text("secret") if name.endswith("env") else path.symlink_to(tmp_path / "secret")
        with pytest.raises(ValueError, match=name.replace(".", r"\.")):
            pack_bundle(folder)
        path.unlink()
    assert not list(tmp_path.glob("*.zip"))


@pytest.mark.parametrize("version", [None, 1, "../../1.0.0", "1.0"])
def test_an_invalid_version_is_not_packed(shared, tmp_path, version):
    folder = shutil.copytree(shared[0] / NAME, tmp_path / NAME)
    change_json(folder / "configs" / "metadata.json", version=version)
    with pytest.raises(ValueError, match=rf"metadata\.json.*{re.escape(repr(version))}"):
        pack_bundle(folder)


def test_readme_and_card_warn_that_a_bundle_is_a_program(shared):
    for text in ((ROOT / "README.md").read_text(), (shared[0] / NAME / "docs" / "README.md").read_text()):
        assert "A bundle is a program" in text
