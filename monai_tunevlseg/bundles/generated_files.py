"""Generates the bundles and the experiment configs from the fragments in ``configs/``.

Each compatible pair of a model and a method has a bundle. Each dataset has an experiment config for every bundle.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_tunevlseg.bundles.templates import Templates, read_facts
from monai_tunevlseg.data import LAYOUTS
from monai_tunevlseg.data.demo_datasets import DEMO_DATASETS
from monai_tunevlseg.methods import METHODS, Method
from monai_tunevlseg.networks import IMAGE_ONLY_NETWORKS, VLSMS

__all__ = [
    "all_experiment_facts",
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
# {dataset}/{bundle}: overrides of bundles/{bundle}.
# {written} from the other folders of configs/; change it there.
# python -m monai.bundle run --bundle_root bundles/{bundle} --dataset_dir DIR
#   --config_file "['bundles/{bundle}/configs/{config}.yaml','configs/{dataset}/{bundle}.yaml']"
"""
_FOLDERS = {".yaml": "configs", ".json": "configs", ".conf": "configs", ".md": "docs"}

_Facts = dict[str, Any]
_Combinations = dict[str, tuple[_Facts, _Facts]]  # model and method by the name of their bundle

_TRAINING = ("train.yaml", "multi_gpu_train.yaml")
_MODEL_FACTS: _Facts = {
    "embedded": False,  # whether the package embeds a tiny base model
    "batch_size": 8,
    "num_views": 8,  # in the feature cache
}
_METHOD_FACTS: _Facts = {"baseline": False, "trains": True, "from_scratch": False, "epochs": 20}


def bundle_names(configs_dir: str | Path) -> list[str]:
    """Return the names of all bundles, MODEL_METHOD."""
    return list(_combinations(Path(configs_dir)))


def render_bundle(configs_dir: str | Path, name: str, facts: Mapping[str, Any] | None = None) -> dict[Path, str]:
    """Return the contents of a bundle's files by their paths in the bundle.

    Args:
        configs_dir: folder of the fragments.
        name: name of the bundle.
        facts: placeholder values that replace those of the bundle.

    Raises:
        FileNotFoundError: when ``configs_dir`` has no fragments, or no ``LICENSE`` is beside it.
        ValueError: when the bundle is unknown.
    """
    configs = Path(configs_dir).resolve()
    combinations = _require_combinations(configs)
    if name not in combinations:
        raise ValueError(f"no bundle {name!r}; available are {', '.join(combinations)}.")
    return _render_bundle(configs, Templates(configs), _facts(name, *combinations[name]) | dict(facts or {}))


def _render_bundle(configs: Path, fragments: Templates, facts: _Facts) -> dict[Path, str]:
    templates = sorted(path for path in (configs / "bundle").iterdir() if path.is_file())
    if not facts["method"]["trains"]:
        templates = [path for path in templates if path.name not in _TRAINING]
    files = {
        _path_in_bundle(template): fragments.render(template, facts | {"config": template.stem})
        for template in templates
    }
    return files | {Path("LICENSE"): (configs.parent / "LICENSE").read_text(encoding="utf-8")}


def experiment_names(configs_dir: str | Path) -> list[str]:
    """Return the names of all experiments, DATASET/MODEL_METHOD."""
    return _experiment_names(Path(configs_dir), _combinations(Path(configs_dir)))


def _experiment_names(configs: Path, combinations: _Combinations) -> list[str]:
    return [
        f"{path.stem}/{bundle}"
        for path in _datasets(configs)
        for bundle, (model, _) in combinations.items()
        if model["embedded"] or not model["reads_text"] or path.stem not in DEMO_DATASETS
    ]


def render_experiment(configs_dir: str | Path, name: str) -> str:
    """Return the config of an experiment, which overrides values of the bundle's configs.

    Raises:
        ValueError: when the experiment is unknown.
    """
    configs = Path(configs_dir).resolve()
    return _render_experiment(configs, Templates(configs), experiment_facts(configs_dir, name))


def _render_experiment(configs: Path, fragments: Templates, facts: _Facts) -> str:
    dataset = facts["dataset"]["name"]
    config = "train" if facts["method"]["trains"] else "evaluate"
    header = _EXPERIMENT_HEADER.format(dataset=dataset, bundle=facts["bundle"], config=config, written=_MARK)
    return header + fragments.render(configs / "datasets" / f"{dataset}.yaml", facts)


def experiment_facts(configs_dir: str | Path, name: str) -> dict[str, Any]:
    """Return the facts about an experiment by the names of the templates' placeholders.

    Raises:
        FileNotFoundError: when ``configs_dir`` has no fragments.
        ValueError: when the experiment is unknown; the message has similar names.
    """
    configs = Path(configs_dir).resolve()
    combinations = _require_combinations(configs)
    names = _experiment_names(configs, combinations)
    if name not in names:
        nearest = difflib.get_close_matches(name, names) or names
        raise ValueError(f"no experiment {name!r}; similar names are {', '.join(nearest)}.")
    return _experiment_facts(name, combinations)


def all_experiment_facts(configs_dir: str | Path) -> dict[str, dict[str, Any]]:
    """Return the facts about all experiments by their names."""
    configs = Path(configs_dir)
    combinations = _combinations(configs)
    return {name: _experiment_facts(name, combinations) for name in _experiment_names(configs, combinations)}


def _experiment_facts(name: str, combinations: _Combinations) -> _Facts:
    dataset, _, bundle = name.partition("/")
    return _facts(bundle, *combinations[bundle]) | {"dataset": _dataset_facts(dataset)}


def write_bundles(configs_dir: str | Path, bundles_dir: str | Path) -> list[Path]:
    """Write the generated files of bundles and experiments, and remove those that ``configs/`` no longer has.

    All other files stay: results of runs, custom bundles and experiments, and copies.

    Returns:
        the changed files.

    Raises:
        FileNotFoundError: when ``configs_dir`` has no fragments.
    """
    wanted = _render_all(Path(configs_dir), Path(bundles_dir))
    stale = _stale_files(wanted, Path(configs_dir), Path(bundles_dir))
    for path in stale:
        if path in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path], encoding="utf-8")
        else:
            path.unlink()
    return stale


def stale_files(configs_dir: str | Path, bundles_dir: str | Path) -> list[Path]:
    """Return the generated files that are missing, outdated or superfluous.

    Raises:
        FileNotFoundError: when ``configs_dir`` has no fragments.
    """
    configs, bundles = Path(configs_dir), Path(bundles_dir)
    return _stale_files(_render_all(configs, bundles), configs, bundles)


def _stale_files(wanted: Mapping[Path, str], configs: Path, bundles: Path) -> list[Path]:
    stale = [path for path, text in wanted.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    experiments = {path: f"{path.parent.name}/{path.stem}" for path in configs.glob("*/*.yaml")}
    made = {path: path.parts[-3] for path in bundles.glob("*/configs/*.yaml")}
    surplus = [path for path, name in (experiments | made).items() if path not in wanted and _is_generated(path, name)]
    return sorted([*stale, *surplus])


def _require_combinations(configs: Path) -> _Combinations:
    """Return the model and method of each bundle by its name.

    Raises:
        FileNotFoundError: when no bundles exist.
    """
    if not (combinations := _combinations(configs)):
        raise FileNotFoundError(
            f"{configs.resolve()} has no models/ and methods/ to generate bundles from; pass the repository's "
            "folder configs as --configs-dir."
        )
    return combinations


def _is_generated(path: Path, name: str) -> bool:
    """Return whether a config's header names this generator, and the bundle or experiment of its path."""
    head = path.read_text(encoding="utf-8", errors="replace").splitlines()[:2] if path.is_file() else []
    return bool(head) and head[0].startswith(f"# {name}:") and any(_MARK in line for line in head)


def _render_all(configs: Path, bundles: Path) -> dict[Path, str]:
    combinations, sources = _require_combinations(configs), configs.resolve()
    fragments = Templates(sources)
    files = {
        bundles / name / path: text
        for name, parts in combinations.items()
        for path, text in _render_bundle(sources, fragments, _facts(name, *parts)).items()
    }
    return files | {
        configs / f"{name}.yaml": _render_experiment(sources, fragments, _experiment_facts(name, combinations))
        for name in _experiment_names(configs, combinations)
    }


def _datasets(configs: Path) -> list[Path]:
    return sorted((configs / "datasets").glob("*.yaml"))


def _combinations(configs: Path) -> _Combinations:
    """Return the model and method of each bundle: all pairs that fit each other."""
    models = [_model_facts(path) for path in sorted((configs / "models").glob("*.yaml"))]
    methods = [_method_facts(path) for path in sorted((configs / "methods").glob("*.yaml"))]
    return {
        f"{model['name']}_{method['name']}": (model, method)
        for model in models
        for method in methods
        if _fit(model, method)
    }


def _model_facts(path: Path) -> _Facts:
    reads_text = path.stem not in IMAGE_ONLY_NETWORKS
    return _MODEL_FACTS | {"reads_text": reads_text} | read_facts(path)


def _method_facts(path: Path) -> _Facts:
    derived = dict(zip(("prompts_text", "prompts_vision"), prompted_encoders(path.stem), strict=True))
    return _METHOD_FACTS | derived | read_facts(path)


def _fit(model: _Facts, method: _Facts) -> bool:
    """Return whether a VLSM accepts the method's prompts, or an image-only model is trained from scratch."""
    if method["from_scratch"] or not model["reads_text"]:
        return bool(method["from_scratch"] and not model["reads_text"])
    return not (method["prompts_vision"] and VLSMS[model["name"]].no_visual_prompts)


def prompted_encoders(method: str) -> tuple[bool, bool]:
    """Return whether a method prompts the text encoder and the vision encoder; a baseline prompts neither."""
    kind = METHODS[method] if method in set(METHODS) else Method
    return kind.prompts_text, kind.prompts_vision


def _facts(name: str, model: _Facts, method: _Facts) -> _Facts:
    """Return a bundle's values of the templates' placeholders."""
    return {
        "bundle": name,
        "written": f"{_MARK} from configs/; change it there.",
        "model": model,
        "method": method,
    }


def _dataset_facts(name: str) -> dict[str, str]:
    """Return the name and title of a dataset, and its texts as a YAML list.

    Raises:
        ValueError: when the dataset is unknown, or its layout has no info.
    """
    if name in DEMO_DATASETS:
        title, texts = f"the demo set {name}", DEMO_DATASETS[name].class_names
    else:
        facts = LAYOUTS[name].info
        if facts is None:
            raise ValueError(f"the layout {name!r} is not a dataset, because it has no info about its classes.")
        title, texts = facts.title, facts.class_names
    return {"name": name, "title": title, "class_names": f"[{', '.join(texts)}]"}


def _path_in_bundle(template: Path) -> Path:
    """Return the path of a template's text in a bundle.

    Raises:
        ValueError: when a bundle has no folder for its suffix.
    """
    if template.suffix not in _FOLDERS:
        raise ValueError(f"{template}: a bundle has no folder for {template.suffix} files.")
    return Path(_FOLDERS[template.suffix], template.name)
