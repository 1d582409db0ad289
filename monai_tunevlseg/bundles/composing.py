"""Writing the bundles from ``configs/``: one for each model and learner that fit, all from the same templates."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from monai_tunevlseg.bundles.fragments import Fragment, compose, read_fragment

__all__ = ["bundle_names", "render_bundle", "stale_files", "write_bundles"]

_FOLDERS = {".yaml": "configs", ".json": "configs", ".conf": "configs", ".md": "docs", "": "."}


def bundle_names(configs_dir: str | Path) -> list[str]:
    """Return the names of all bundles, MODEL_LEARNER."""
    return [f"{model.name}_{learner.name}" for model, learner in _combinations(Path(configs_dir))]


def render_bundle(configs_dir: str | Path, name: str) -> dict[Path, str]:
    """Return the generated files of one bundle, by their path inside it.

    Raises:
        ValueError: when there is no such bundle.
    """
    configs = Path(configs_dir).resolve()
    for model, learner in _combinations(configs):
        if name == f"{model.name}_{learner.name}":
            facts = _facts(name, model, learner)
            templates = sorted(path for path in (configs / "bundle").iterdir() if path.is_file())
            return {_place(template): compose(template, configs, facts) for template in templates}
    raise ValueError(f"there is no bundle {name!r}; known are {', '.join(bundle_names(configs))}.")


def write_bundles(configs_dir: str | Path, bundles_dir: str | Path) -> list[Path]:
    """Write the bundles' generated files and remove those that are no longer generated.

    What a run has put into a bundle (``models``, ``eval``, ``output``) stays.

    Returns:
        the files that changed.
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
    """Return the files of the bundles that are missing, differ from what ``configs/`` says, or should not be there."""
    bundles = Path(bundles_dir)
    wanted = _wanted(Path(configs_dir), bundles)
    stale = [path for path, text in wanted.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    surplus = [path for path in bundles.glob("*/configs/*") if path.is_file() and path not in wanted]
    return sorted([*stale, *surplus])


def _wanted(configs: Path, bundles: Path) -> dict[Path, str]:
    return {
        bundles / name / path: text
        for name in bundle_names(configs)
        for path, text in render_bundle(configs, name).items()
    }


def _combinations(configs: Path) -> Iterator[tuple[Fragment, Fragment]]:
    """Yield the models with the learners whose prompts they accept; the fragments' own facts decide."""
    learners = [read_fragment(path) for path in sorted((configs / "learners").glob("*.yaml"))]
    for path in sorted((configs / "models").glob("*.yaml")):
        model = read_fragment(path)
        for learner in learners:
            if set(learner.facts["prompts"]) <= set(model.facts["accepts"]):
                yield model, learner


def _facts(name: str, model: Fragment, learner: Fragment) -> dict[str, str]:
    """Return the values of the templates' placeholders."""
    return {
        "bundle": name,
        "model": model.name,
        "learner": learner.name,
        **{f"model.{key}": str(value).strip() for key, value in model.facts.items()},
        **{f"learner.{key}": str(value).strip() for key, value in learner.facts.items()},
    }


def _place(template: Path) -> Path:
    """Return where in a bundle a template's text goes.

    Raises:
        ValueError: when no folder is known for its suffix.
    """
    if template.suffix not in _FOLDERS:
        raise ValueError(f"{template}: a bundle has no folder for {template.suffix} files.")
    return Path(_FOLDERS[template.suffix], template.name)
