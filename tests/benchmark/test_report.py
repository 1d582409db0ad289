"""The report's files, and reports of damaged results."""

from __future__ import annotations

import csv
import json
import re
import shutil
import time
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from sample_results import trial, write_examples, write_experiment
from typer.testing import CliRunner

from monai_tunevlseg.__main__ import app
from monai_tunevlseg.benchmark import build_report, write_report
from monai_tunevlseg.benchmark.embeddings import read_embeddings, write_embeddings
from monai_tunevlseg.benchmark.formatting import bytes_text, seconds_text, signed_text
from monai_tunevlseg.benchmark.report_content import BenchmarkReport
from monai_tunevlseg.benchmark.report_markdown import render_markdown
from monai_tunevlseg.benchmark.results_folder import METRICS, read_result, write_json
from monai_tunevlseg.benchmark.tables import build_tables


class Page(HTMLParser):
    """Collects the text of table rows and headings, and the address of every request."""

    VOID = ("meta", "link", "img", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.headings: list[str] = []
        self.requests: list[str] = []
        self.marked: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag not in self.VOID:
            self.open.append(tag)
        if tag in ("img", "script", "iframe") or (tag == "link" and given.get("rel") != "icon"):
            self.requests.append(given.get("src") or given.get("href") or "")
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.best = "best" in (given.get("class") or "").split()
        if tag in ("h2", "h3"):
            self.headings.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] = f"{self.rows[-1][-1]} {data.strip()}".strip()
            if self.best and "value" not in self.open and data.strip():
                self.marked.append(data.strip())
        if {"h2", "h3"} & set(self.open):
            self.headings[-1] += data


@pytest.fixture(scope="module")
def page(study, tmp_path_factory):
    output = tmp_path_factory.mktemp("report")
    started = time.perf_counter()
    write_report(study, output)
    assert time.perf_counter() - started < 60  # seconds, on a busy machine
    return output


def test_html_makes_no_requests(page):
    parsed = Page((page / "report.html").read_text())
    assert parsed.open == []
    assert parsed.requests and all(request.startswith("data:image/") for request in parsed.requests)
    assert {"Table 3. Models and methods", "Cost", "Examples"} <= set(parsed.headings)
    assert "Problems" not in parsed.headings


def test_html_has_every_figure_and_example(page):
    text = (page / "report.html").read_text()
    assert [number for number in (4, 5, 6, 7) if f"<b>Figure {number}.</b>" in text] == [4, 5, 6, 7]
    assert text.count("data:image/jpeg") == 2 * 2 * (2 + 12)  # datasets, examples; image, truth, experiments
    assert sorted(path.name for path in (page / "figures").iterdir()) == [
        "figure4_clipseg.svg",
        "figure4_cris.svg",
        "figure5.svg",
        "figure6.svg",
        "figure7.svg",
        "ranks.svg",
    ]


def test_table_rows_in_html(tmp_path):
    write_experiment(tmp_path, "kvasir/clipseg_vpt", [80, 100])
    write_experiment(tmp_path, "kvasir/clipseg_coop", [70, 76])
    write_report(tmp_path)
    parsed = Page((tmp_path / "report" / "report.html").read_text())
    assert ["CLIPSeg", "VPT", "90.00 89.03 +0.97", "90.00 89.03 +0.97", "–"] in parsed.rows
    assert ["CLIPSeg", "CoOp", "73.00 73.53 −0.53", "73.00 73.53 −0.53", "–"] in parsed.rows
    assert "90.00" in parsed.marked and "73.00" not in parsed.marked
    assert any(row[:5] == ["CoOp", "2", "73.00", "−17.00", "−24.00 to −10.00"] for row in map(trimmed, parsed.rows))
    costs = ["4,674", "23.5 kB", "250 ms", "1 min 02 s", "5 min 00 s", "812 MB", "cpu"]
    assert ["Kvasir", "CLIPSeg", "VPT", *costs] in parsed.rows


def test_seeds_comparisons_and_ranks_are_in_every_format(tmp_path):
    for dataset in ("kvasir", "bkai"):
        for method, shift in (("vpt", 9), ("coop", 0), ("maple", 4)):
            for seed in range(3):
                dices = [50 + shift + 2 * seed + 3 * number + (number * (seed + shift)) % 4 for number in range(6)]
                write_experiment(tmp_path, f"{dataset}/clipseg_{method}-seed{seed}", dices)
                write_experiment(
                    tmp_path, f"{dataset}/clipseg_{method}-shots4-seed{seed}", [dice - 20 for dice in dices]
                )
    report = write_report(tmp_path)
    folder = tmp_path / "report"
    page = Page((folder / "report.html").read_text())
    text = (folder / "report.md").read_text()
    assert page.open == [] and {"Is the seed luck?", "Ranks over the datasets"} <= set(page.headings)
    spread = report.spread[0].rows[0]
    low, high = spread.dice.interval
    shown = f"{spread.dice.value:.2f} ± {spread.dice.std:.2f} {low:.2f} to {high:.2f}"
    assert any(row[:3] == [spread.title, "3", shown] for row in page.rows)
    assert "## Bkai: is the seed luck?" in text and "## Ranks over the datasets, 4 images per class" in text
    assert (folder / "figures" / "ranks.svg").is_file() and (folder / "figures" / "ranks_shots4.svg").is_file()
    tables = {}
    for name in ("seeds", "comparisons", "ranks"):
        with (folder / f"{name}.csv").open() as file:
            tables[name] = list(csv.DictReader(file))
    assert len(tables["seeds"]) == 12 and len(tables["comparisons"]) == 8 and len(tables["ranks"]) == 6
    (coop,) = (
        row
        for row in tables["comparisons"]
        if row["method"].endswith("CoOp") and row["num_shots"] == "4" and row["dataset"] == "bkai"
    )
    method = next(found for found in report.comparisons[1].methods if found.title.endswith("CoOp"))
    assert (report.comparisons[1].dataset, report.comparisons[1].num_shots) == ("bkai", 4)
    assert float(coop["p_seeds_holm"]) == pytest.approx(method.adjusted_p_seeds)
    assert (coop["seeds"], float(coop["difference"])) == ("3", pytest.approx(method.comparison.difference, abs=1e-4))


def trimmed(row):
    return [row[0].removeprefix("CLIPSeg "), *row[1:]] if row else row


def test_markdown_and_csv(tmp_path):
    write_experiment(tmp_path, "kvasir/clipseg_vpt", [80, 100])
    write_experiment(tmp_path, "kvasir/clipseg_coop", [70, 76])
    write_experiment(tmp_path, "kvasir/clipseg_finetune", [95, 97])
    write_report(tmp_path)
    text = (tmp_path / "report" / "report.md").read_text()
    assert "| CLIPSeg | VPT | *90.00* (+0.97) | *90.00* (+0.97) | – |" in text
    assert "| CLIPSeg | fine-tuned | **96.00** (+6.49) |" in text
    with (tmp_path / "report" / "table3.csv").open() as file:
        lines = {line["method"]: line for line in csv.DictReader(file)}
    place = {"group": "prompts", "model": "clipseg", "method": "vpt", "variant": ""}
    assert lines["vpt"] == {**place, "kvasir": "90.0", "mean": "90.0", "std": ""}
    with (tmp_path / "report" / "cells.csv").open() as file:
        cells = [line for line in csv.DictReader(file) if (line["method"], line["dataset"]) == ("vpt", "kvasir")]
    assert cells == [
        {
            "table": "3",
            "model": "clipseg",
            "method": "vpt",
            "variant": "",
            "dataset": "kvasir",
            "value": "90.0",
            "paper": "89.03",
            "difference": "0.97",
            "best": "0",
            "best_method": "1",
        }
    ]
    assert (tmp_path / "report" / "table5.csv").read_text() == ""


def test_names_are_escaped(tmp_path):
    titles = {"dataset": "<script>alert(1)</script>", "model": "A & B", "method": "VPT"}
    write_experiment(tmp_path, "kvasir/clipseg_vpt", [80], facts={"titles": titles})
    write_report(tmp_path)
    text = (tmp_path / "report" / "report.html").read_text()
    assert "<script" not in text and "&lt;script&gt;" in text and "A &amp; B" in text


HOSTILE = '<script>alert(1)</script> [x](javascript:y) | `a` $x_{$ "b"\n# <img src=x onerror=z>'


def test_untrusted_text_is_escaped_in_markdown(tmp_path):
    titles = {"dataset": HOSTILE, "model": HOSTILE, "method": "VPT"}
    swept = [trial(number, 50.0 + number, 1.0 + number) for number in range(3)]
    write_experiment(
        tmp_path, "kvasir/clipseg_vpt", [80, 70, 60], swept, facts={"titles": titles, "problems": [HOSTILE]}
    )
    write_experiment(tmp_path, "kvasir/clipseg_coop", [70, 75, 60], facts={"titles": titles, "device": HOSTILE})
    (tmp_path / "kvasir" / "clipseg_`maple").mkdir()
    write_json(tmp_path / "kvasir" / "clipseg_`maple" / "failure.json", {"message": HOSTILE})
    write_report(tmp_path)
    text = (tmp_path / "report" / "report.md").read_text()
    assert "<" not in text and "[x](javascript" not in text and "\n# " not in text.removeprefix("# ")
    assert "&lt;script&gt;" in text
    table = text[text.index("## Table 3") :].split("\n\n")[1].splitlines()
    assert len({len(re.split(r"(?<!\\)\|", line)) for line in table}) == 1, table
    assert (tmp_path / "report" / "figures" / "figure6.svg").is_file()


@pytest.mark.parametrize("rates", [(-0.001, 1e-4), (0.0, 1e-4), (1e-3, -1.0), (1e-3, 0.0)])
def test_rates_without_a_logarithm_are_left_out(rates, tmp_path):
    swept = [trial(0, 50.0, 1.0), trial(1, 60.0, 2.0, *rates), trial(2, 70.0, 3.0)]
    write_experiment(tmp_path, "kvasir/clipseg_vpt", [80], swept)
    write_examples(tmp_path, "kvasir", ["00000"], ["kvasir/clipseg_vpt"])
    report = build_report(tmp_path)
    assert {figure.number for figure in report.figures} >= {6, 7}
    damaged = [problem.message for problem in report.problems]
    assert len(damaged) == (min(rates) < 0) and all(
        re.search(r"\b2\b.*(learning_rate|weight_decay)", message) for message in damaged
    )


@pytest.mark.parametrize("name", ["../../secret", "/etc/x", "a/b", "..", "", None, 3, "x" * 101, ["a"]])
def test_names_of_examples_stay_in_their_folder(name, tmp_path):
    results = tmp_path / "results"
    write_experiment(results, "kvasir/clipseg_vpt", [80])
    write_examples(results, "kvasir", ["00000"], ["kvasir/clipseg_vpt"])
    for end in ("image", "truth"):  # files that must not be shown
        shutil.copy(results / "examples" / "kvasir" / f"00000_{end}.png", tmp_path / f"secret_{end}.png")
    path = results / "examples" / "kvasir" / "examples.json"
    path.write_text(json.dumps([{**json.loads(path.read_text())[0], "name": name}]))
    report = build_report(results)
    assert not report.galleries
    assert ["examples.json" in p.message and repr(name) in p.message for p in report.problems].count(True) == 1


@pytest.mark.parametrize(("model", "dataset"), [("../../../x", "kvasir"), ("cris", "kvasir"), ("clipseg", "busi")])
def test_embeddings_of_another_model_or_dataset_are_refused(model, dataset, study, tmp_path):
    shutil.copytree(study / "kvasir" / "clipseg_vpt", tmp_path / "kvasir" / "clipseg_vpt")
    found = read_embeddings(study / "embeddings" / "clipseg" / "kvasir.npz")
    path = tmp_path / "embeddings" / "clipseg" / "kvasir.npz"
    write_embeddings(path, replace(found, model=model, dataset=dataset))
    report = build_report(tmp_path)
    assert not [figure for figure in report.figures if figure.number == 4]
    assert "embeddings/clipseg/kvasir.npz" in [problem.place for problem in report.problems]


WRONG = [None, [], {}, "text", -1, 1.5, True, [[]], {"": None}, float("inf"), float("nan"), 10**400]


@pytest.mark.parametrize("file", ["result.json", "metrics.json"])
def test_every_wrong_value_is_named_or_can_be_shown(file, tmp_path):
    folder = write_experiment(tmp_path, "kvasir/clipseg_vpt", [80])
    whole = json.loads((folder / file).read_text())
    paths = [(key,) for key in whole]
    paths += [(key, inner) for key, value in whole.items() if isinstance(value, dict) for inner in value]
    if file == "metrics.json":  # other values are not read
        paths = [("format_version",), *((name,) for name in METRICS)]
    refused = 0
    for path in paths:
        for value in WRONG:
            content = json.loads(json.dumps(whole))
            place = content if len(path) == 1 else content[path[0]]
            place[path[-1]] = value
            (folder / file).write_text(json.dumps(content))
            try:
                result = read_result(folder)
            except ValueError as error:
                assert file in str(error), (path, value)
                refused += 1
            else:
                report = BenchmarkReport(METRICS["dice"], [result], build_tables([result], "dice"))
                assert render_markdown(report), (path, value)
    assert refused >= len(paths)


def test_untested_trials_are_not_drawn(tmp_path):
    untested = [trial(number, 50.0, float(number)) for number in range(3)]
    untested = [type(t)(t.number, "FAIL", None, None, {}, t.hyperparameters) for t in untested]
    write_experiment(tmp_path, "kvasir/clipseg_vpt", [80], untested)
    write_examples(tmp_path, "kvasir", ["00000"], ["kvasir/clipseg_vpt"])
    report = build_report(tmp_path)
    assert not report.figures and not report.problems


@pytest.mark.parametrize(
    ("damage", "place", "message"),
    [
        (lambda f: (f / "result.json").write_text("{"), "kvasir/clipseg_coop", r"result\.json"),
        (lambda f: (f / "result.json").write_text("[]"), "kvasir/clipseg_coop", r"result\.json.* list"),
        (lambda f: (f / "result.json").write_bytes(b"\xff\xfe\x00"), "kvasir/clipseg_coop", r"result\.json"),
        (lambda f: edit(f, format_version=2), "kvasir/clipseg_coop", r"result\.json.* 2\b.* 1\b"),
        (lambda f: edit(f, seed="x"), "kvasir/clipseg_coop", r"result\.json.*seed.*'x'.*'integer'"),
        (lambda f: edit(f, dataset="busi"), "kvasir/clipseg_coop", r"result\.json.* busi/clipseg_coop"),
        (lambda f: (f / "metrics.json").unlink(), "kvasir/clipseg_coop", r"metrics\.json"),
        (
            lambda f: (f / "metrics.json").write_text('{"format_version": 1}'),
            "kvasir/clipseg_coop",
            r"metrics\.json.*'dice'",
        ),
        (
            lambda f: (f / "metrics.json").write_text('{"format_version": 1, "dice": "much"}'),
            "kvasir/clipseg_coop",
            r"metrics\.json.*'dice'.*'much'.* 0 .* 100\b",
        ),
        (lambda f: (f / "pairs.csv").unlink(), "kvasir/clipseg_coop/pairs.csv", r"pairs\.csv"),
        (lambda f: (f / "pairs.csv").write_text("a,b\n1,2\n"), "kvasir/clipseg_coop/pairs.csv", "column"),
        (lambda f: (f / "trials.csv").unlink(), "kvasir/clipseg_coop/trials.csv", "missing"),
        (
            lambda f: (f / "trials.csv").write_text("number,state,validation,seconds\nx,FAIL,,\n"),
            "kvasir/clipseg_coop/trials.csv",
            r"\b1\b",
        ),
        (
            lambda f: (f / "trials.csv").write_text("number,state\n1,COMPLETE,7\n"),
            "kvasir/clipseg_coop/trials.csv",
            r"\b1\b.*cells",
        ),
        (
            lambda f: (f / "predictions" / "00001.png").write_bytes(b"no picture"),
            "kvasir/clipseg_coop/predictions/00001.png",
            "shown",
        ),
        (
            lambda f: (f.parents[1] / "examples" / "kvasir" / "examples.json").write_text("{"),
            "examples/kvasir",
            "shown",
        ),
        (
            lambda f: (f.parents[1] / "embeddings" / "clipseg" / "kvasir.npz").write_bytes(b"PK"),
            "embeddings/clipseg/kvasir.npz",
            "read",
        ),
    ],
)
def test_damaged_files_are_named_and_left_out(tmp_path, study, damage, place, message):
    for name in ("kvasir/clipseg_vpt", "kvasir/clipseg_coop", "examples/kvasir", "embeddings/clipseg"):
        shutil.copytree(study / name, tmp_path / name)
    damage(tmp_path / "kvasir" / "clipseg_coop")
    written = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert written.exit_code == 0, written.output
    problems = [line for line in written.stderr.splitlines() if line.startswith(f"warning: {place}: ")]
    assert len(problems) == 1 and re.search(message, problems[0]), written.stderr
    parsed = Page((tmp_path / "report" / "report.html").read_text())
    assert "Problems" in parsed.headings
    assert any(row[:2] == ["CLIPSeg", "VPT"] for row in parsed.rows)


def edit(folder, **changes):
    path = folder / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_failed_and_unfinished_experiments_are_named(tmp_path):
    write_experiment(tmp_path, "kvasir/clipseg_vpt", [80])
    (tmp_path / "kvasir" / "clipseg_coop").mkdir()
    (tmp_path / "kvasir" / "clipseg_coop" / "failure.json").write_text('{"message": "no trial was finished."}')
    names = ["kvasir/clipseg_vpt", "kvasir/clipseg_coop", "kvasir/cris_coop"]
    (tmp_path / "benchmark.json").write_text(json.dumps({"format_version": 1, "experiments": names}))
    named = {problem.place: problem.message for problem in build_report(tmp_path).problems}
    assert named == {
        "kvasir/clipseg_coop": "failed: no trial was finished.",
        "kvasir/cris_coop": "not finished.",
        "examples/kvasir": named["examples/kvasir"],
    }


def test_folder_without_results(tmp_path):
    written = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert written.exit_code == 1 and str(tmp_path) in written.stderr


def test_metric_and_output_of_the_command(tmp_path):
    write_experiment(tmp_path / "results", "kvasir/clipseg_vpt", [80, 90])
    write_examples(tmp_path / "results", "kvasir", ["00001"], ["kvasir/clipseg_vpt"])
    arguments = ["report", str(tmp_path / "results"), "--metric", "dice_original", "--output", str(tmp_path / "out")]
    written = CliRunner().invoke(app, arguments)
    assert written.exit_code == 0 and written.stdout.strip() == str(tmp_path / "out" / "report.html")
    assert "| CLIPSeg | VPT | 84.00 (−5.03) |" in (tmp_path / "out" / "report.md").read_text()
    assert not (tmp_path / "results" / "report").exists()
    assert CliRunner().invoke(app, ["report", str(tmp_path / "results"), "--metric", "f1"]).exit_code == 1


def test_formatting():
    assert [bytes_text(value) for value in (None, 12, 1500, 119_000, 88e6, 2.5e9)] == [
        "–",
        "12 B",
        "1.5 kB",
        "119 kB",
        "88.0 MB",
        "2.50 GB",
    ]
    seconds = [seconds_text(value) for value in (None, 0.0124, 3.21, 75, 7260)]
    assert seconds == ["–", "12 ms", "3.2 s", "1 min 15 s", "2 h 01 min"]
    assert signed_text(-0.5) == "−0.50"
