"""Code that strangers hide in a bundle is found, and is not run by looking for it."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
import yaml
from monai.bundle import ConfigParser

from monai_tunevlseg.inspection import inspect_bundle
from monai_tunevlseg.inspection.inspection import Inspection

ROOT = Path(__file__).resolve().parents[2]
NAME = "clipseg_vpt"
EVIL = "$__import__('os').system('echo')"


@pytest.fixture(scope="module")
def templates(tmp_path_factory) -> Path:
    """A folder with one of the bundles, because reading all of them takes a second."""
    folder = tmp_path_factory.mktemp("templates")
    shutil.copytree(ROOT / "bundles" / NAME, folder / NAME, ignore=shutil.ignore_patterns("models", "eval", "output"))
    return folder


@pytest.fixture
def bundle(templates, tmp_path) -> Path:
    folder = shutil.copytree(templates / NAME, tmp_path / NAME)
    (folder / "models").mkdir()
    torch.save({"weight": torch.zeros(2)}, folder / "models" / "model.pt")
    return folder


@pytest.fixture
def look(templates):
    def inspect(path: Path) -> Inspection:
        return inspect_bundle(path, templates)

    return inspect


def found(result: Inspection) -> list[tuple[str, str, str]]:
    """Return file, kind and place of each finding."""
    return [(finding.file, finding.kind, finding.place) for finding in result.findings]


def change(path: Path, **values) -> None:
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | values))


def evil_checkpoint(target: Path):
    """Return an object whose unpickling creates a file."""

    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {target}",)

    return Evil()


def test_a_bundle_of_this_package_has_nothing_unknown(bundle, look):
    result = look(bundle)
    assert result.findings == [] and result.known > 200 and result.sha256 is None
    shutil.copy(bundle / "configs" / "train.yaml", bundle / "train.yaml")
    assert len(look(bundle).findings) > 100, "known code is known at its place only"


def test_plain_values_may_differ(bundle, look):
    change(bundle / "configs" / "train.yaml", learning_rate=0.5, class_names=["a $5 polyp", "x_target_"], device="cpu")
    assert look(bundle).findings == []


CONFIGS = {
    "expression": ({"learning_rate": EVIL}, "expression", "learning_rate"),
    "import": ({"learning_rate": "$ from os import system"}, "import", "learning_rate"),
    "nested": ({"extra": [{"a": [0, {"b": EVIL}]}]}, "expression", "extra::0::a::1::b"),
    "target": ({"seed": {"_target_": "os.system", "command": "echo"}}, "target", "seed::_target_"),
    "target expression": ({"seed": {"_target_": "$print"}}, "expression", "seed::_target_"),
    "requires": ({"seed": {"_requires_": [EVIL]}}, "expression", "seed::_requires_::0"),
    "disabled": ({"seed": {"_disabled_": EVIL}}, "expression", "seed::_disabled_"),
    "mode": ({"seed": {"_mode_": "debug"}}, "mode", "seed::_mode_"),
    "other config": ({"seed": "%../other.json::seed"}, "other config", "seed"),
    "merging key": ({"+run": []}, "merging key", ""),
    "id as key": ({"train#trainer": 1}, "merging key", ""),
    "key": ({1: 2}, "key", ""),
    "known code elsewhere": ({"seed": "$hyperparameters.prepare_run()"}, "expression", "seed"),
    "path": ({"output_dir": "/etc"}, "path", "output_dir"),
    "path up": ({"output_dir": "a/../../b"}, "path", "output_dir"),
    "path on Windows": ({"output_dir": "C:\\Windows"}, "path", "output_dir"),
}


@pytest.mark.parametrize("case", CONFIGS)
@pytest.mark.parametrize("file", ["configs/train.yaml", "configs/extra.json", "docs/more/Other.YAML"])
def test_code_in_configs_is_found(case, file, bundle, look):
    values, kind, place = CONFIGS[case]
    path = bundle / file
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file():
        change(path, **values) if all(isinstance(key, str) for key in values) else path.write_text("1: 2")
    else:
        path.write_text(json.dumps(values) if path.suffix == ".json" else yaml.safe_dump(values))
    wanted = [] if case == "key" and path.suffix == ".json" else [(file, kind, place)]  # keys of JSON are texts
    assert found(look(bundle)) == wanted


def test_what_is_found_is_what_monai_evaluates(tmp_path):
    """Each of these ways runs code in MONAI itself."""
    for number, value in enumerate((EVIL, {"_target_": "os.system", "command": "echo"}, "%other.yaml::a")):
        (tmp_path / "other.yaml").write_text(yaml.safe_dump({"a": EVIL}))
        (tmp_path / "config.yaml").write_text(yaml.safe_dump({"entry": value}).replace("other", f"{tmp_path}/other"))
        parser = ConfigParser()
        parser.read_config(str(tmp_path / "config.yaml"))
        assert parser.get_parsed_content("entry") == 0, number  # the exit code of echo


def test_code_in_metadata_is_found(bundle, look):
    path = bundle / "configs" / "metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"authors": EVIL}))
    assert found(look(bundle)) == [("configs/metadata.json", "expression", "authors")]


def test_a_changed_logging_config_is_found(bundle, look):
    path = bundle / "configs" / "logging.conf"
    path.write_text(path.read_text().replace("(sys.stdout,)", "(__import__('os').system('echo'),)"))
    assert found(look(bundle)) == [("configs/logging.conf", "logging config", "")]


UNREADABLE = {
    "tag": lambda planted: f'a: !!python/object/apply:os.system ["touch {planted}"]',
    "aliases": lambda planted: (
        "a0: &a0 [1, 1]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60))
    ),
    "merges": lambda planted: (
        "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 60))
    ),
    "circle": lambda planted: "a: &a [*a]",
    "depth": lambda planted: "[" * 50_000,
    "documents": lambda planted: "a: 1\n---\nb: 2\n",
    "encoding": lambda planted: b"\xff\xfe\x00",
    "size": lambda planted: "a: " + "x" * 2**20,
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_config_that_cannot_be_inspected_is_found(case, bundle, look, tmp_path):
    content = UNREADABLE[case](tmp_path / "planted")
    (bundle / "configs" / "extra.yml").write_bytes(content if isinstance(content, bytes) else content.encode())
    ((file, kind, _),) = found(look(bundle))
    assert (file, kind) == ("configs/extra.yml", "not inspected")
    assert not (tmp_path / "planted").exists()


def test_programs_pickles_and_archives_are_found(bundle, look, tmp_path):
    planted, models = tmp_path / "planted", bundle / "models"
    torch.save({"weight": evil_checkpoint(planted)}, models / "evil.pt")
    torch.save({"weight": evil_checkpoint(planted)}, models / "old.pt", _use_new_zipfile_serialization=False)
    (models / "model.safetensors").write_bytes(pickle.dumps(evil_checkpoint(planted)))
    torch.jit.script(torch.nn.Linear(1, 1)).save(str(models / "model.ts"))
    (models / "short.pt").write_bytes((models / "model.pt").read_bytes()[:200])
    (models / "noise.pt").write_bytes(b"noise")
    (models / "arrays.npy").write_bytes(b"\x93NUMPY")
    (bundle / "scripts").mkdir()
    (bundle / "scripts" / "__init__.py").write_text("")
    with zipfile.ZipFile(bundle / "docs" / "more.txt", "w") as archive:
        archive.writestr("a", "b")
    kinds = {file.rpartition("/")[2]: kind for file, kind, _ in found(look(bundle))}
    assert kinds == {
        "evil.pt": "pickle",
        "old.pt": "pickle",
        "model.safetensors": "pickle",
        "model.ts": "TorchScript",
        "short.pt": "not inspected",
        "noise.pt": "not inspected",
        "arrays.npy": "not inspected",
        "__init__.py": "program",
        "more.txt": "archive",
    }
    assert "system" in next(str(finding) for finding in look(bundle).findings if finding.file == "models/evil.pt")
    assert not planted.exists()


def test_links_and_special_files_are_found_and_not_followed(bundle, look, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "evil.yaml").write_text(yaml.safe_dump({"a": EVIL}))
    (bundle / "docs" / "linked").symlink_to(tmp_path / "outside")
    (bundle / "configs" / "linked.yaml").symlink_to(tmp_path / "outside" / "evil.yaml")
    os.mkfifo(bundle / "docs" / "queue.txt")
    assert sorted(found(look(bundle))) == [
        ("configs/linked.yaml", "link", ""),
        ("docs/linked", "link", ""),
        ("docs/queue.txt", "special file", ""),
    ]


def zipped(path: Path, bundle: Path, *members: tuple[zipfile.ZipInfo | str, bytes]) -> Path:
    """Write a bundle and more members into a zip file."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(bundle.rglob("*")):
            archive.write(file, f"{bundle.name}/{file.relative_to(bundle)}")
        for member, content in members:
            archive.writestr(member, content)
    return path


def test_a_zip_file_is_inspected_without_unpacking(bundle, look, tmp_path):
    clean = look(zipped(tmp_path / "clean.zip", bundle))
    assert clean.findings == [] and clean.known > 200 and len(clean.sha256) == 64
    torch.save({"weight": evil_checkpoint(tmp_path / "planted")}, bundle / "models" / "model.pt")
    change(bundle / "configs" / "inference.yaml", sw_batch_size=EVIL)
    before = sorted(tmp_path.rglob("*"))
    (tmp_path / "evil.zip").touch()
    result = look(zipped(tmp_path / "evil.zip", bundle))
    assert sorted(found(result)) == [
        ("configs/inference.yaml", "expression", "sw_batch_size"),
        ("models/model.pt", "pickle", ""),
    ]
    assert sorted(tmp_path.rglob("*")) == sorted([*before, tmp_path / "evil.zip"])


def link(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name)
    member.external_attr = 0o120777 << 16
    return member


MEMBERS = {
    "slip": (f"{NAME}/../../evil.txt", b"", "path"),
    "absolute": ("/etc/evil.txt", b"", "path"),
    "backslash": (f"{NAME}\\..\\evil.txt", b"", "path"),
    "drive": ("C:evil.txt", b"", "path"),
    "link": (link(f"{NAME}/docs/link.txt"), b"/etc/passwd", "link"),
    "twice": (f"{NAME}/configs/train.yaml", b"a: 1", "name"),
    "other case": (f"{NAME}/Configs/Train.yaml", b"a: 1", "name"),
    "other spelling": (f"{NAME}/configs/./train.yaml", b"a: 1", "name"),
    "bomb": (f"{NAME}/docs/zeros.txt", bytes(50_000_000), "size"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("case", MEMBERS)
def test_members_that_must_not_be_unpacked_are_found(case, bundle, look, tmp_path):
    member, content, kind = MEMBERS[case]
    result = look(zipped(tmp_path / "bundle.zip", bundle, (member, content)))
    assert [finding.kind for finding in result.findings if finding.kind == kind] == [kind]
    if case not in ("absolute", "drive", "backslash"):  # which end the folder that all members share
        assert len(result.findings) == 1


def test_an_encrypted_member_is_found(bundle, look, tmp_path):
    path = zipped(tmp_path / "bundle.zip", bundle, (f"{NAME}/docs/secret.txt", b"secret"))
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1  # in the flags of the last entry of the directory
    path.write_bytes(content)
    assert found(look(path)) == [("docs/secret.txt", "encrypted", "")]


def test_too_many_members_are_refused(look, tmp_path):
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive:
        for number in range(10_001):
            archive.writestr(f"{number}.txt", "")
    with pytest.raises(ValueError, match="10001 members"):
        look(tmp_path / "many.zip")
    (tmp_path / "noise.zip").write_bytes(io.BytesIO(b"noise").read())
    with pytest.raises(ValueError, match=r"noise\.zip"):
        look(tmp_path / "noise.zip")
