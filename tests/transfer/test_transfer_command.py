"""``tunevlseg transfer`` at the command line: wrong input, and the names of runs. Docs' commands run it for real."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from monai_tunevlseg.__main__ import app
from monai_tunevlseg.commands.transfer import _labels


@pytest.mark.parametrize(
    ("arguments", "values"),
    [
        ("RUN --on kvasr=BRIGHT", ["'kvasr'", "'kvasir'"]),
        ("RUN --on bright=BRIGHT", ["'bright'", "--target-option bright:layout=folder"]),
        ("RUN --on kvasir", ["'kvasir'", "NAME=DIR"]),
        ("RUN --on kvasir=BRIGHT --on kvasir=DARK", ["kvasir", "twice"]),
        ("RUN --on kvasir=BRIGHT/no", ["BRIGHT/no", "kvasir"]),
        ("DARK --on bright=BRIGHT --target-option bright:layout=folder", ["DARK", "models/model.pt"]),
        ("RUN RUN --on bright=BRIGHT --target-option bright:layout=folder", ["RUN", "twice"]),
        ("RUN --on bright=BRIGHT --target-option bright", ["'bright'", "NAME:OPTION=VALUE"]),
        ("RUN --on bright=BRIGHT --target-option dark:layout=folder", ["dark:layout=folder", "bright"]),
        ("RUN --on bright=BRIGHT --target-option bright:layout=folder --images some", ["'some'", "auto, all, test"]),
        ("RUN --on bright=BRIGHT --target-option bright:layout=folder --metric hd95", ["'hd95'", "dice_original"]),
        ("RUN --on ultrasound=BRIGHT --metric surface_dice", ["surface_dice", "--override surface_dice=true"]),
        ("RUN --on ultrasound=BRIGHT --override epochs=3", ["epochs", "batch_size"]),
        ("RUN --on ultrasound=BRIGHT --texts BRIGHT/no.json", ["no.json"]),
        ("RUN --on ultrasound=BRIGHT --source-dir BRIGHT/no", ["BRIGHT/no", "not a folder"]),
        ("RUN DARK --on ultrasound=BRIGHT --source-dir DARK", ["--source-dir", "one RUN"]),
        (
            "RUN --on x=BRIGHT --target-option x:layout=folder --target-option x:class_names=[polyp]",
            ["'polyp'", "'lesion'"],
        ),
        ("RUN --on dark=DARK --target-option dark:layout=folder", ["dark", "--on"]),
    ],
)
def test_wrong_input_is_one_sentence_before_anything_runs(arguments, values, clipseg_run, domains, tmp_path):
    places = {"RUN": clipseg_run, "BRIGHT": domains["bright"], "DARK": domains["dark"]}
    words = [re.sub("RUN|BRIGHT|DARK", lambda found: str(places[found[0]]), word) for word in arguments.split()]
    result = CliRunner().invoke(app, ["transfer", *words, "--output-dir", str(tmp_path / "out")])
    assert result.exit_code == 1, result.output
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "Traceback" not in result.output
    wanted = [str(places.get(value, value)).replace("BRIGHT", str(places["BRIGHT"])) for value in values]
    assert [value for value in wanted if value not in errors[0]] == [], errors
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("folders", "labels"),
    [
        (["/r/kvasir"], ["kvasir"]),
        (["/r/kvasir/vpt/search/best"], ["vpt"]),
        (["/r/kvasir", "/r/kvasir/best"], ["kvasir", "kvasir/best"]),
        (["/r/kvasir", "/r/bkai"], ["kvasir", "bkai"]),
        (["/r/kvasir/vpt/search/best", "/r/bkai/vpt/search/best"], ["kvasir", "bkai"]),
        (["/r/kvasir/vpt/best", "/r/kvasir/coop/best", "/r/bkai/vpt/best"], ["kvasir/vpt", "kvasir/coop", "bkai/vpt"]),
    ],
)
def test_runs_are_named_by_what_tells_their_folders_apart(folders, labels):
    assert _labels([Path(folder) for folder in folders]) == labels
