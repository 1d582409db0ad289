"""Writing the bundles and the experiments' configs from ``configs/``, each of them from the same few fragments.

There is a bundle for each model and method that fit, and an experiment config for each dataset with each bundle.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_tunevlseg.bundles.templates import read_facts, render_template
from monai_tunevlseg.data import LAYOUTS
from monai_tunevlseg.data.demo_datasets import DEMO_DATASETS
from monai_tunevlseg.methods import METHODS, Method
from monai_tunevlseg.networks import VLSMS

__all__ = [
    "bundle_names",
    "experiment_facts",
    "experiment_names",
    "prompted_encoders",
    "render_bundle",
    "render_experiment",
    "stale_files",
    "write_bundles",
]

_MARK = "Written by `make bundles`"
_EXPERIMENT_HEADER = """\
# {dataset}/{bundle}: what differs from bundles/{bundle}.
# {written} from the other folders of configs/; change it there.
# python -m monai.bundle run --bundle_root bundles/{bundle} --dataset_dir DIR
#   --config_file "['bundles/{bundle}/configs/{config}.yaml','configs/{dataset}/{bundle}.yaml']"
"""
_FOLDERS = {".yaml": "configs", ".json": "configs", ".conf": "configs", ".md": "docs"}

_Facts = dict[str, Any]

_TRAINING = ("train.yaml", "multi_gpu_train.yaml")
_MODEL_FACTS: _Facts = {"embedded": False}  # whether a tiny base model comes with the package, for the demo datasets
_METHOD_FACTS: _Facts = {"baseline": False, "trains": True}


def bundle_names(configs_dir: str | Path) -> list[str]:
    """Return the names of all bundles, MODEL_METHOD."""
    return list(_combinations(Path(configs_dir)))


def render_bundle(configs_dir: str | Path, name: str, facts: Mapping[str, Any] | None = None) -> dict[Path, str]:
    """Return the generated files of one bundle, by their path inside it.

    Args:
        configs_dir: the folder of the fragments.
        name: the bundle's.
        facts: values of placeholders that differ from those of the bundle itself.

    Raises:
        FileNotFoundError: when ``configs_dir`` holds no fragments, or has no ``LICENSE`` beside it.
        ValueError: when there is no such bundle.
    """
    configs = Path(configs_dir).resolve()
    combinations = _require_fragments(configs)
    if name not in combinations:
        raise ValueError(f"there is no bundle {name!r}; known are {', '.join(combinations)}.")
    filled = _facts(name, *combinations[name]) | dict(facts or {})
    templates = sorted(path for path in (configs / "bundle").iterdir() if path.is_file())
    if not filled["method"]["trains"]:
        templates = [path for path in templates if path.name not in _TRAINING]
    files = {_place(template): render_template(template, configs, filled) for template in templates}
    return files | {Path("LICENSE"): (configs.parent / "LICENSE").read_text(encoding="utf-8")}


def experiment_names(configs_dir: str | Path) -> list[str]:
    """Return the names of all experiments, DATASET/MODEL_METHOD."""
    combinations = _combinations(Path(configs_dir))
    return [
        f"{path.stem}/{bundle}"
        for path in _datasets(Path(configs_dir))
        for bundle, (model, _) in combinations.items()
        if model["embedded"] or path.stem not in DEMO_DATASETS
    ]


def render_experiment(configs_dir: str | Path, name: str) -> str:
    """Return the config of an experiment: what its dataset changes in its bundle, to be laid over the bundle's configs.

    Raises:
        ValueError: when there is no such experiment.
    """
    configs = Path(configs_dir).resolve()
    facts = experiment_facts(configs, name)
    dataset = facts["dataset"]["name"]
    config = "train" if facts["method"]["trains"] else "evaluate"
    header = _EXPERIMENT_HEADER.format(dataset=dataset, bundle=facts["bundle"], config=config, written=_MARK)
    return header + render_template(configs / "datasets" / f"{dataset}.yaml", configs, facts)


def experiment_facts(configs_dir: str | Path, name: str) -> dict[str, Any]:
    """Return what the fragments and the package know of an experiment, by the names of the placeholders.

    Raises:
        FileNotFoundError: when ``configs_dir`` holds no fragments.
        ValueError: when there is no such experiment; names the nearest.
    """
    configs = Path(configs_dir).resolve()
    combinations = _require_fragments(configs)
    dataset, _, bundle = name.partition("/")
    if name in experiment_names(configs):
        return _facts(bundle, *combinations[bundle]) | {"dataset": _dataset_facts(dataset)}
    nearest = difflib.get_close_matches(name, experiment_names(configs))
    raise ValueError(
        f"there is no experiment {name!r}; near to it are {', '.join(nearest or experiment_names(configs))}."
    )


def write_bundles(configs_dir: str | Path, bundles_dir: str | Path) -> list[Path]:
    """Write the generated files of bundles and experiments, and remove those that ``configs/`` dropped.

    Whatever else there is stays: what a run has put into a bundle, bundles and experiments of others, copies.

    Returns:
        the files that changed.

    Raises:
        FileNotFoundError: when ``configs_dir`` holds no fragments.
    """
    stale = stale_files(configs_dir, bundles_dir)
    wanted = _wanted(Path(configs_dir), Path(bundles_dir))
    for path in stale:
        if path in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path], encoding="utf-8")
        else:
            path.unlink()
    return stale


def stale_files(configs_dir: str | Path, bundles_dir: str | Path) -> list[Path]:
    """Return the generated files that are missing, differ from what ``configs/`` says, or should not be there.

    Raises:
        FileNotFoundError: when ``configs_dir`` holds no fragments.
    """
    configs, bundles = Path(configs_dir), Path(bundles_dir)
    _require_fragments(configs)
    wanted = _wanted(configs, bundles)
    stale = [path for path, text in wanted.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    experiments = {path: f"{path.parent.name}/{path.stem}" for path in configs.glob("*/*.yaml")}
    made = {path: path.parts[-3] for path in bundles.glob("*/configs/*.yaml")}
    surplus = [path for path, name in (experiments | made).items() if path not in wanted and _is_generated(path, name)]
    return sorted([*stale, *surplus])


def _require_fragments(configs: Path) -> dict[str, tuple[_Facts, _Facts]]:
    """Return the models with their methods, by the bundles' names.

    Raises:
        FileNotFoundError: when there are none.
    """
    if not (combinations := _combinations(configs)):
        raise FileNotFoundError(
            f"{configs.resolve()} holds no models/ and methods/ to make bundles from; pass the folder "
            "configs of the repository as --configs-dir."
        )
    return combinations


def _is_generated(path: Path, name: str) -> bool:
    """Return whether a config says that it was written here, for the bundle or experiment in whose place it is."""
    head = path.read_text(encoding="utf-8", errors="replace").splitlines()[:2] if path.is_file() else []
    return bool(head) and head[0].startswith(f"# {name}:") and any(_MARK in line for line in head)


def _wanted(configs: Path, bundles: Path) -> dict[Path, str]:
    files = {
        bundles / name / path: text
        for name in bundle_names(configs)
        for path, text in render_bundle(configs, name).items()
    }
    return files | {configs / f"{name}.yaml": render_experiment(configs, name) for name in experiment_names(configs)}


def _datasets(configs: Path) -> list[Path]:
    return sorted((configs / "datasets").glob("*.yaml"))


def _combinations(configs: Path) -> dict[str, tuple[_Facts, _Facts]]:
    """Return the models with the methods whose prompts can be inserted into them, as the registries know."""
    models = [_MODEL_FACTS | read_facts(path) for path in sorted((configs / "models").glob("*.yaml"))]
    methods = [_METHOD_FACTS | read_facts(path) for path in sorted((configs / "methods").glob("*.yaml"))]
    return {
        f"{model['name']}_{method['name']}": (model, method)
        for model in models
        for method in methods
        if not (prompted_encoders(method["name"])[1] and VLSMS[model["name"]].no_visual_prompts)
    }


def prompted_encoders(method: str) -> tuple[bool, bool]:
    """Return whether the method of a fragment prompts the text and the vision encoder; a baseline prompts neither."""
    kind = METHODS[method] if method in set(METHODS) else Method
    return kind.prompts_text, kind.prompts_vision


def _facts(name: str, model: _Facts, method: _Facts) -> _Facts:
    """Return the values of the templates' placeholders."""
    return {
        "bundle": name,
        "written": f"{_MARK} from configs/; change it there.",
        "model": model,
        "method": method,
    }


def _dataset_facts(name: str) -> dict[str, str]:
    """Return what the package knows of a dataset: its title, and its texts as a YAML list.

    Raises:
        ValueError: when the package does not know the dataset.
    """
    if name in DEMO_DATASETS:
        title, texts = f"the demo set {name}", DEMO_DATASETS[name].class_names
    else:
        facts = LAYOUTS[name].info
        if facts is None:
            raise ValueError(f"the layout {name!r} is no dataset: it says nothing of its classes; give it facts.")
        title, texts = facts.title, facts.class_names
    return {"name": name, "title": title, "class_names": f"[{', '.join(texts)}]"}


def _place(template: Path) -> Path:
    """Return where in a bundle a template's text goes.

    Raises:
        ValueError: when no folder is known for its suffix.
    """
    if template.suffix not in _FOLDERS:
        raise ValueError(f"{template}: a bundle has no folder for {template.suffix} files.")
    return Path(_FOLDERS[template.suffix], template.name)
