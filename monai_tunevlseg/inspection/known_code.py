"""The code of this package's own bundles, from which everything else in a bundle is told apart."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import yaml

from monai_tunevlseg.inspection.config_code import CONFIG_SUFFIXES, code_in_config, normalized_place, parse_config
from monai_tunevlseg.inspection.findings import Finding

__all__ = ["DEMO_IMPORT", "TRAINED_START", "KnownCode", "demo_model_expression"]

DEMO_IMPORT = "$import monai_tunevlseg.demo as demo"
TRAINED_START = "$@bundle_root + '/models/model.pt'"
"""Values that ``tunevlseg share`` sets in the configs."""
_TRUSTED_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast where libyaml is installed
_DEMO_MODEL = re.compile(r"\$demo\.demo_model\('\w+'\)")


def demo_model_expression(model: str) -> str:
    """Return the expression for the folder of an embedded base model."""
    return f"$demo.demo_model('{model}')"


class KnownCode:
    """Code by the file and the place where a bundle of this package has it.

    Args:
        bundles: folders of bundles.
    """

    def __init__(self, bundles: Iterable[Path]) -> None:
        self.code: set[tuple[str, str, str]] = set()
        self.logging: set[bytes] = set()
        for configs in (bundle / "configs" for bundle in bundles):
            for path in configs.glob("*"):
                if path.suffix in CONFIG_SUFFIXES:
                    content = parse_config(path.read_bytes(), path.name, _TRUSTED_LOADER)
                    self.code |= {self._key(found) for found in code_in_config(content, f"configs/{path.name}")}
                elif path.suffix == ".conf":
                    self.logging.add(path.read_bytes())

    def has(self, found: Finding) -> bool:
        """Return whether a bundle of this package has this code at the same place."""
        if found.file.startswith("configs/") and (
            (found.place == "demo_import" and found.text == DEMO_IMPORT)
            or (found.place == "pretrained" and _DEMO_MODEL.fullmatch(found.text))
            or (found.place == "initial_checkpoint" and found.text == TRAINED_START)
        ):
            return True
        return self._key(found) in self.code

    def _key(self, found: Finding) -> tuple[str, str, str]:
        """Return what identifies code; YAML and JSON files of one name are copies of each other."""
        return found.file.rpartition(".")[0], normalized_place(found.place), found.text
