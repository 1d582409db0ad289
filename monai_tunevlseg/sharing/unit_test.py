"""The unit test of a bundle in the repository of the Model Zoo, ``ci/unit_tests/test_NAME.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from monai.bundle import ConfigParser

from monai_tunevlseg.atomic_files import write_text_atomically
from monai_tunevlseg.sharing.verification import FOLDER_OPTIONS

__all__ = ["unit_test_path", "write_unit_test"]

_OPTIONS = FOLDER_OPTIONS | {"epochs": 1, "batch_size": 2}
_CONFIGS = ("train", "evaluate")


def unit_test_path(folder: str | Path) -> Path:
    """Return the path of a bundle's unit test, beside its folder."""
    return Path(folder).with_name(f"test_{Path(folder).name}.py")


def write_unit_test(folder: str | Path) -> Path:
    """Write a unit test that trains, evaluates and infers with a bundle on a few images of noise.

    The test belongs into ``ci/unit_tests`` of the Model Zoo, whose ``models`` holds the bundle. It uses the Model Zoo's
    own ``utils``, and changes no file of the bundle.

    Returns:
        path of the file, beside the folder.
    """
    folder = Path(folder)
    configs = {name: ConfigParser.load_config_file(folder / "configs" / f"{name}.yaml") for name in _CONFIGS}
    environment = Environment(
        loader=PackageLoader("monai_tunevlseg.sharing"),
        autoescape=False,  # noqa: S701 - Python
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    content = environment.get_template("zoo_unit_test.py.jinja").render(
        name=folder.name,
        class_name="".join(part.capitalize() for part in folder.name.replace("-", "_").replace(".", "_").split("_")),
        num_classes=len(configs["train"]["class_names"]),
        options={name: _options_of(config) for name, config in configs.items()},
    )
    write_text_atomically(unit_test_path(folder), content)
    return unit_test_path(folder)


def _options_of(config: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in _OPTIONS.items() if name in config}
