"""``tunevlseg compare`` at the command line."""

import json
import re
import shlex
from dataclasses import replace

import pytest
from documentation import lines
from typer.testing import CliRunner

from monai_tunevlseg.__main__ import app
from monai_tunevlseg.evaluation import Bootstrap, PairScores, compare, write_pair_scores


def cases(*scores, **more):
    return [
        PairScores(f"{number}.png", None, "x", "x", dice=score, label_pixels=1, label_pixels_original=1, **more)
        for number, score in enumerate(scores)
    ]


@pytest.fixture
def files(tmp_path):
    first, second = cases(50.0, 60.0, 70.0, 75.0), cases(52.0, 66.0, 69.0, 80.0)
    paths = [tmp_path / name / "pairs.csv" for name in "ab"]
    for path, listed in zip(paths, (first, second), strict=True):
        path.parent.mkdir()
        write_pair_scores(path, listed)
    return paths


def run(*arguments):
    return CliRunner().invoke(app, ["compare", "--resamples", "200", *map(str, arguments)])


def test_the_text_has_means_difference_interval_and_p_value(files):
    result = run(*files)
    assert result.exit_code == 0, result.output
    expected = compare(
        *(cases(*s) for s in ((50.0, 60.0, 70.0, 75.0), (52.0, 66.0, 69.0, 80.0))), bootstrap=Bootstrap(200)
    )
    low, high = expected.interval
    lines = result.stdout.splitlines()
    assert lines[0] == "dice over 4 pairs of 4 images or groups"
    assert lines[1:4] == [f"A      63.75 %  {files[0]}", f"B      66.75 %  {files[1]}", "B - A  +3.00 %"]
    assert lines[4] == f"95% interval (bootstrap of images or groups): {low:+.2f} to {high:+.2f} %"
    assert lines[5] == f"Wilcoxon signed-rank test (of their mean differences): p = {expected.p_value:.3g}"
    assert result.stderr == ""


def test_json_is_the_only_output(files):
    content = json.loads(run(*files, "--json").stdout)
    assert (content["a"], content["metric"], content["pairs"], content["difference"]) == (str(files[0]), "dice", 4, 3)
    assert len(content["interval"]) == 2
    assert content["only_in_a"] == []


def test_folders_of_evaluations_are_accepted(files):
    assert run(files[0].parent, files[1].parent).exit_code == 0


def test_pairs_that_are_left_out_are_named_on_stderr(files):
    write_pair_scores(files[0], [*cases(50.0, 60.0, 70.0), PairScores("lost.png", 3, "x", "x", dice=1.0)])
    result = run(*files, "--json")
    assert re.search(r"warning: 1 .*in A .*lost\.png slice 3 'x'", result.stderr)
    assert re.search(r"warning: 1 .*in B .*3\.png 'x'", result.stderr)
    assert json.loads(result.stdout)["only_in_a"] == ["lost.png slice 3 'x'"]


def test_equal_runs_have_no_interval_and_no_p_value(files):
    result = run(files[0], files[0], "--foreground-only")
    assert "dice over 4 pairs with foreground" in result.stdout
    assert result.stdout.count("not defined") == 2


def test_another_metric_has_its_own_unit(files):
    for path, distance in zip(files, (4.0, 3.0), strict=True):
        write_pair_scores(path, [replace(case, hd95=distance + place) for place, case in enumerate(cases(1.0, 2.0))])
    assert "B - A  -1.00 pixels" in run(*files, "--metric", "hd95").stdout


@pytest.mark.parametrize(
    ("content", "options", "values"),
    [
        (b"image,slice\na,1\n", [], ["b/pairs.csv", "class_name, dice, label_pixels"]),
        (b"\xff\xfe\x00", [], ["b/pairs.csv", "CSV"]),
        (None, [], ["b/pairs.csv"]),
        (b"image,slice,class_name,dice,label_pixels\nother.png,,x,1,1\n", [], ["other.png", "0.png"]),
        (b"image,slice,class_name,dice,label_pixels\n0.png,,x,1,1\n", ["--metric", "quality"], ["'quality'"]),
        (b"image,slice,class_name,dice,label_pixels\n0.png,,x,1,1\n", ["--resamples", "0"], ["resamples is 0"]),
    ],
)
def test_an_error_is_a_sentence_with_exit_code_1(files, content, options, values):
    files[1].unlink() if content is None else files[1].write_bytes(content)
    result = run(*files, *options)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert [value for value in values if value not in result.stderr] == [], result.stderr
    assert "Traceback" not in result.output


@pytest.fixture
def seeds(files):
    """Three runs of each of two methods, beside the files."""
    folder = files[0].parents[1]
    for number in range(3):
        for name, shift in (("vpt", 2.0), ("coop", 0.0)):
            scores = [50.0 + 3 * place + shift + number + (place * number) % 3 for place in range(6)]
            write_pair_scores(folder / f"{name}-seed{number}" / "pairs.csv", cases(*scores))
    return folder


def test_sets_of_runs_are_compared_over_their_seeds(seeds):
    coop = ",".join(str(seeds / f"coop-seed{number}") for number in range(3))
    result = run(coop, f"{seeds}/vpt-seed*")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert re.fullmatch(rf"A      [\d.]+ ± [\d.]+ % \(3 runs\)  {re.escape(coop)}", lines[1])
    assert lines[3] == "B - A  +2.00 %"
    assert lines[4].startswith("95% interval (bootstrap of seeds and images or groups): ")
    assert lines[5] == "t-test (of seeds and images or groups): not defined: all differences are equal"
    content = json.loads(run(coop, f"{seeds}/vpt-seed*", "--json").stdout)
    assert (content["runs_a"], content["runs_b"], content["p_value_seeds"]) == (3, 3, None)


def test_a_single_run_beside_several_is_warned_of(seeds):
    result = run(seeds / "coop-seed0", f"{seeds}/vpt-seed[12]")
    assert result.exit_code == 0 and "warning: A is a single run" in result.stderr
    assert re.search(r"t-test .*: p = [\d.e-]+$", result.stdout, re.MULTILINE)


@pytest.mark.parametrize(("b", "message"), [("vpt-lost*", "vpt-lost*"), ("vpt-seed0,{}/vpt-seed*", "twice")])
def test_patterns_without_runs_and_repeated_runs_are_refused(seeds, b, message):
    result = run(seeds / "coop-seed0", f"{seeds}/{b.format(seeds)}")
    assert result.exit_code == 1 and message in result.stderr


def test_the_documented_comparison_runs(seeds, monkeypatch):
    (line,) = lines("compare seeds")
    folder = seeds / "results" / "kvasir"
    folder.mkdir(parents=True)
    for path in [*seeds.glob("vpt-seed*"), *seeds.glob("coop-seed*")]:
        path.rename(folder / f"clipseg_{path.name}")
    monkeypatch.chdir(seeds)
    program, command, *arguments = shlex.split(line)
    assert (program, command) == ("tunevlseg", "compare")
    assert "B - A  +2.00 %" in run(*arguments).stdout
