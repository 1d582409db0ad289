"""Writes bundles to a new working folder, for ``python -m monai.bundle run``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from monai_tunevlseg.bundles.generated_files import bundle_names, experiment_names, render_bundle, render_experiment

__all__ = ["init_folder"]


def init_folder(target: str | Path, configs_dir: str | Path, bundles: Sequence[str] = ()) -> list[Path]:
    """Write bundles, their experiment configs and the recipes, as in the repository.

    Args:
        target: folder for ``bundles/NAME/``, ``configs/DATASET/NAME.yaml`` and ``configs/recipes/``.
        configs_dir: folder of the fragments.
        bundles: bundle names, MODEL_METHOD; all if empty.

    Returns:
        the bundles' folders.

    Raises:
        FileExistsError: when one of the bundles exists; nothing is written.
        ValueError: when a bundle is unknown.
    """
    target, chosen = Path(target), list(bundles) or bundle_names(configs_dir)
    rendered = {target / "bundles" / name: render_bundle(configs_dir, name) for name in chosen}
    if existing := [folder for folder in rendered if folder.exists()]:
        raise FileExistsError(f"{existing[0]} already exists; remove it, or choose another folder.")
    for folder, files in rendered.items():
        for path, text in files.items():
            _write(folder / path, text)
    for name in experiment_names(configs_dir):
        if name.partition("/")[2] in chosen:
            _write(target / "configs" / f"{name}.yaml", render_experiment(configs_dir, name))
    for path in (Path(configs_dir) / "recipes").glob("*.yaml"):
        _write(target / "configs" / "recipes" / path.name, path.read_text(encoding="utf-8"))
    return list(rendered)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
