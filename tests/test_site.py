"""The pages of the site that are written from the code, and the numbers of those that are not."""

from __future__ import annotations

import csv
import html
import re
import shlex
from pathlib import Path

import generated_pages
import pytest
import yaml
from command_tree import COMMANDS, OPTIONS
from documentation import ROOT, lines
from monai.bundle import ConfigParser
from owners_trees import write_kvasir
from target_trees import write_etis
from typer.testing import CliRunner

from monai_tunevlseg import __version__
from monai_tunevlseg.__main__ import app
from monai_tunevlseg.data import LAYOUTS
from monai_tunevlseg.hyperparameters import hyperparameter_types

PAPER = ROOT / "monai_tunevlseg" / "benchmark" / "paper"


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return {path: write() for path, write in generated_pages.PAGES.items()}


def section(page: str, title: str) -> str:
    return re.split(r"^## ", page.split(f"\n## {title}\n")[1], maxsplit=1, flags=re.MULTILINE)[0]


def test_every_command_and_option_is_in_the_reference(pages):
    page = html.unescape(pages["reference/command-line.md"])
    parts = dict(re.findall(r"^#+ `(tunevlseg .*?)`\n(.*?)(?=^#+ |\Z)", page, re.MULTILINE | re.DOTALL))
    assert set(parts) == set(COMMANDS) - {"tunevlseg"}
    for name, text in parts.items():
        assert COMMANDS[name].help.split("\n")[0] in text
        assert {option for option in OPTIONS[name] if option.startswith("--")} - {"--help"} <= set(
            re.findall(r"--[a-z][a-z0-9-]*", text)
        )


def test_every_option_of_a_bundle_is_in_the_reference(pages):
    """With its default, as YAML reads it in each bundle."""
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| ", pages["reference/options.md"], re.MULTILINE)
    assert len(rows) == len(dict(rows))
    defaults: dict[str, list] = {}
    for path in (ROOT / "bundles").glob("*/configs/*.yaml"):
        if path.stem in generated_pages.CONFIGS:
            for name, value in yaml.safe_load(path.read_text(encoding="utf-8")).items():
                defaults.setdefault(name, []).append(value)
    assert set(dict(rows)) == set(defaults) & set(hyperparameter_types()) - {"method_kwargs"}
    for name, shown in rows:
        if shown == "of the bundle":
            assert len({str(value) for value in defaults[name]}) > 1, name
        elif shown == "`computed`":
            assert all(str(value).startswith(("$", "@")) for value in defaults[name]), name
        else:
            read = (shown.strip("`"), yaml.safe_load(shown.strip("`")))
            assert all(value in read for value in defaults[name]), name


def test_comments_of_several_lines_are_whole(pages):
    row = re.search(r"^\| `intensity_window` .*", pages["reference/options.md"], re.MULTILINE)
    assert row and "0.5 and 99.5 percentiles of a volume" in row[0]


def test_every_public_dataset_has_its_form_terms_and_commands(pages):
    for name in LAYOUTS:
        info = LAYOUTS[name].info
        if info is None:
            continue
        part = section(pages["how-to/datasets.md"], info.title)
        assert info.license in part and info.source in part and f"| `{name}` |" in part
        assert f"tunevlseg datasets check {name} DIR" in part
    assert "`database_split/`" in section(pages["how-to/datasets.md"], "CAMUS")


def test_the_commands_of_a_dataset_with_experiments_are_those_that_other_tests_run(pages):
    _, check, train, _ = lines("experiment")
    (written,) = re.findall(r"```sh\n(.*?)```", section(pages["how-to/datasets.md"], "Kvasir-SEG"), re.DOTALL)
    assert written.splitlines() == [check, train]
    for name in re.findall(r"configs/(\w+)/clipseg_vpt", pages["how-to/datasets.md"]):
        assert (ROOT / "configs" / name / "clipseg_vpt.yaml").is_file()


@pytest.mark.parametrize(("name", "write"), [("kvasir", write_kvasir), ("etis", write_etis)])
def test_the_check_of_a_dataset_runs(name, write, pages, tmp_path):
    write(tmp_path)
    (line,) = re.findall(rf"^tunevlseg (datasets check {name} DIR)$", pages["how-to/datasets.md"], re.MULTILINE)
    checked = CliRunner().invoke(app, shlex.split(line.replace("DIR", str(tmp_path))))
    assert "errors: 0" in " ".join(checked.output.split()), checked.output


def test_a_dataset_without_experiments_is_read_with_its_options(pages, tmp_path):
    write_etis(tmp_path)
    (part,) = re.findall(r"^python .* --layout etis .*$", pages["how-to/datasets.md"], re.MULTILINE)
    words = shlex.split(part)[4:]
    options = dict(zip([word.removeprefix("--") for word in words[::2]], words[1::2], strict=True))
    parser = ConfigParser()
    parser.read_config(str(ROOT / options.pop("config_file")))
    options |= {"class_names": yaml.safe_load(options["class_names"]), "dataset_dir": str(tmp_path)}
    parser.update(options | {"write_splits_to": None})
    samples = parser.get_parsed_content("datalists")["train"]
    assert {sample["text"] for sample in samples} == {"polyp"}


def test_whatever_a_browser_would_load_from_elsewhere_is_found():
    loaded = generated_pages.loaded_from_elsewhere
    assert loaded('<script async src="https://unpkg.com/a.js"></script>') == ["https://unpkg.com/a.js"]
    assert loaded('<link rel="stylesheet" href="//fonts.googleapis.com/css">') == ["//fonts.googleapis.com/css"]
    assert loaded("body { background: url(http://example.org/a.png) }") == ["http://example.org/a.png"]
    assert loaded('<pre class="mermaid">') == ["mermaid"]
    assert loaded('<a class="x" href="https://example.org">a</a> <img src="../a.png">') == []


def rows(table: str) -> dict[tuple[str, str], dict[str, float]]:
    with (PAPER / table).open(encoding="utf-8") as file:
        read = list(csv.DictReader(file))
    number = {name for name in read[0] if name not in ("model", "method")}
    return {(row["model"], row["method"]): {name: float(row[name]) for name in number if row[name]} for row in read}


def test_the_numbers_of_the_paper_are_those_of_its_tables():
    limits = " ".join((ROOT / "docs" / "explanation" / "limits.md").read_text(encoding="utf-8").split())
    method = " ".join((ROOT / "docs" / "explanation" / "method.md").read_text(encoding="utf-8").split())
    table = rows("table3.csv")
    vpt, coop, full = (table["clipseg", name] for name in ("vpt", "coop", "finetune"))
    cris = max(table["cris", name]["bkai"] for name in ("coop", "cocoop"))
    assert f"VPT on CLIPSeg has {vpt['kvasir']:.2f}, and fine-tuning the whole model {full['kvasir']:.2f}" in limits
    for name in ("busi", "camus", "dfu"):
        assert f"{vpt[name]:.2f} and {full[name]:.2f}" in limits
    assert f"CoOp on CLIPSeg has a mean of {coop['mean']:.2f}, VPT {vpt['mean']:.2f}" in limits
    assert f"on BKAI {coop['bkai']:.2f} and {vpt['bkai']:.2f}" in limits
    assert f"VPT has {vpt['cityscapes']:.2f} and fine-tuning {full['cityscapes']:.2f}" in limits
    assert f"the best prompts have {cris:.2f} and fine-tuning {table['cris', 'finetune']['bkai']:.2f}" in limits
    without = rows("table5.csv")["clipseg", "vpt"]["mean"]
    assert f"a mean Dice of {without:.2f} instead of {vpt['mean']:.2f}" in method


def test_the_citation_has_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == __version__


@pytest.mark.parametrize(
    "path", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*_*.yml")), ids=lambda path: path.stem
)
def test_the_fields_of_an_issue_template_have_ids_and_labels(path: Path):
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert form["name"] and form["description"] and len({field["id"] for field in fields}) == len(fields)
    assert all(field["attributes"]["label"] for field in fields)
