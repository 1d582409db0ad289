"""The pages of the site that are written when it is built: commands, options, datasets, results and the notebook.

``mkdocs.yml`` names this file as a hook of MkDocs.
"""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from monai_tunevlseg.data import LAYOUTS, DatasetInfo, Layout
from monai_tunevlseg.hyperparameters import bundle_option_types, hyperparameter_types

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

__all__ = ["PAGES", "on_files"]

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = "tutorials/notebook.ipynb"
CONFIGS = ("train", "evaluate", "inference")

Key = tuple[str, str, str]
"""Value, comment and config of a top-level key."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages to those of ``docs/``."""
    from mkdocs.structure.files import File

    contents = {path: write() for path, write in PAGES.items()} | run_notebook(ROOT / "docs" / NOTEBOOK)
    for path, content in contents.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_post_build(config: MkDocsConfig) -> None:
    """Check that no page makes a browser load anything from elsewhere.

    Raises:
        ValueError: when one does; names the page and the address.
    """
    for path in sorted(Path(config.site_dir).rglob("*")):
        if path.suffix in (".html", ".css") and (found := loaded_from_elsewhere(path.read_text(encoding="utf-8"))):
            raise ValueError(f"{path} loads {found[0]} from elsewhere; keep a copy in docs/assets, or leave it out.")


def loaded_from_elsewhere(text: str) -> list[str]:
    """Return what a browser loads from other servers when it shows an HTML or CSS file; links are not loaded."""
    address = r"(?:https?:)?//[^\s\"')>]+"
    attributes = rf"""<(?!a\b)[^>]*\s(?:src|srcset|href|poster|data)=["']?({address})"""
    styles = rf"""(?:url\(|@import)\s*["']?({address})"""
    diagrams = r"""class="(mermaid)\""""  # the theme would load the program that draws them
    return re.findall(attributes, text) + re.findall(styles, text) + re.findall(diagrams, text)


def run_notebook(notebook: Path) -> dict[str, str | bytes]:
    """Run a notebook and return its page and pictures, by their paths in the site.

    Raises:
        nbclient.exceptions.CellExecutionError: when a cell fails.
    """
    import nbformat
    from nbclient import NotebookClient
    from nbconvert import MarkdownExporter

    content = nbformat.read(notebook, as_version=4)
    NotebookClient(content, timeout=600).execute()
    for cell in content.cells:
        if cell.cell_type == "code":  # progress bars and warnings stay out of the page
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    page, resources = MarkdownExporter().from_notebook_node(content)
    folder = Path(NOTEBOOK).parent
    pictures = {(folder / name).as_posix(): picture for name, picture in resources["outputs"].items()}
    return {Path(NOTEBOOK).with_suffix(".md").as_posix(): page} | pictures


def command_line_page() -> str:
    """Return the page of all commands, as typer documents them."""
    command = [sys.executable, "-m", "typer", "monai_tunevlseg.__main__", "utils", "docs", "--name", "tunevlseg"]
    written = subprocess.run(
        [*command, "--title", "Command line"], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout
    kept = re.sub(r"^\* `--(help|install-completion|show-completion)`.*\n", "", written, flags=re.MULTILINE)
    return kept.replace("**Options**:\n\n\n", "").replace("**Usage**:\n\n", "")


def options_page() -> str:
    """Return the page of the bundles' hyperparameters."""
    keys = dict(_keys_of_bundles())
    types = hyperparameter_types()
    some = bundle_option_types()
    common = {name: found for name, found in keys.items() if name in types and name not in some}
    own = {name: found for name, found in keys.items() if name in some}
    return "\n".join(
        [
            "# Options of the bundles\n",
            "Every option is a top-level key of `train.yaml`, `evaluate.yaml` or `inference.yaml`, and is given on the"
            " command line as `--NAME VALUE`, such as `--learning_rate 5e-4`. Unknown names and values of another type"
            " or range are refused before anything is built. [Training](../training.md) explains them.\n",
            "## Of every bundle\n",
            *_table(common),
            "\n## Of some models and methods\n",
            "A bundle that does not have one of these options refuses it.\n",
            *_table(own),
            "",
        ]
    )


def datasets_page() -> str:
    """Return the page of the public datasets, with the form that each layout reads."""
    public = {name: (LAYOUTS[name], info) for name in LAYOUTS if (info := LAYOUTS[name].info) is not None}
    start = (
        "# Datasets\n\nDownload a dataset from its owner and name its folder, `DIR` in the commands; nothing needs to"
        " be renamed. [Data](../data.md) has the splits, texts and terms.\n"
    )
    return "\n".join([start, *(_dataset(name, *found) for name, found in public.items())])


def results_page() -> str:
    """Return the page of the results' format."""
    return (ROOT / "monai_tunevlseg" / "benchmark" / "README.md").read_text(encoding="utf-8")


def _dataset(name: str, layout: Layout, info: DatasetInfo) -> str:
    sizes = " / ".join(str(size) for size in info.sizes) if any(info.sizes) else "not in the paper"
    module = inspect.getdoc(inspect.getmodule(_written_in(layout))) or ""
    form = module.partition(": ")[2]
    experiments = (ROOT / "configs" / name).is_dir()
    return f"""\
## {info.title}

{form}

| | |
|---|---|
| layout | `{name}` |
| classes | {", ".join(info.class_names)} |
| images | {info.modality}, {info.organ} |
| pairs of train, val and test in the paper | {sizes} |
| license | {info.license} |
| source | <{info.source}> |
| reference | {info.reference} |

```sh
{_commands(name, list(info.class_names), experiments)}
```
"""


def _written_in(layout: Layout) -> Callable[..., Any]:
    """Return a function of the layout's own module; a center of PolypGen reads with a part of one."""
    return getattr(layout.read, "func", layout.read)


def _commands(name: str, class_names: list[str], experiments: bool) -> str:
    bundle = "bundles/clipseg_vpt/configs/train.yaml"
    run = "python -m monai.bundle run"
    check = f"tunevlseg datasets check {name} DIR"
    if experiments:
        return f"{check}\n{run} --config_file \"['{bundle}','configs/{name}/clipseg_vpt.yaml']\" --dataset_dir DIR"
    return (
        f"{check}\n{run} --bundle_root bundles/clipseg_vpt --config_file {bundle} --layout {name}"
        f' --class_names "{class_names}" --dataset_dir DIR'
    )


def _table(keys: dict[str, list[Key]]) -> list[str]:
    types = hyperparameter_types()
    rows = ["| option | default | value | meaning | configs |", "|---|---|---|---|---|"]
    for name, found in keys.items():
        defaults = {value for value, _, _ in found}
        default = f"`{defaults.pop()}`" if len(defaults) == 1 else "of the bundle"
        meaning = next((comment for _, comment, _ in found if comment), "")
        configs = ", ".join(config for config in CONFIGS if config in {where for _, _, where in found})
        cells = [f"`{name}`", default, types[name].description, meaning, configs]
        rows.append("| " + " | ".join(cell.replace("|", r"\|").replace("<", "&lt;") for cell in cells) + " |")
    return rows


def _keys_of_bundles() -> Iterator[tuple[str, list[Key]]]:
    """Yield the keys of all bundles, each with its values and comments in the order of the bundles."""
    found: dict[str, list[Key]] = {}
    for config in CONFIGS:
        for path in sorted((ROOT / "bundles").glob(f"*/configs/{config}.yaml")):
            for name, value, comment in _keys(path.read_text(encoding="utf-8")):
                found.setdefault(name, []).append((value, comment, config))
    yield from found.items()


def _keys(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield name, value and comment of the keys of one line; a comment may continue in lines of its own."""
    entry = r"^(?P<name>\w+): (?P<value>\S.*?)(?: # (?P<comment>.*(?:\n  # .*)*))?$"
    for line in re.finditer(entry, text, re.MULTILINE):
        value = yaml.safe_load(line["value"])
        computed = isinstance(value, str) and value.startswith(("$", "@"))
        shown = "computed" if computed else line["value"].strip('"')
        yield line["name"], shown, re.sub(r"\n  # ", " ", line["comment"] or "")


PAGES: dict[str, Callable[[], str]] = {
    "how-to/datasets.md": datasets_page,
    "reference/command-line.md": command_line_page,
    "reference/options.md": options_page,
    "reference/results.md": results_page,
}
"""The function that writes each page, by its path in the site."""
