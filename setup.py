"""Puts the repository's configs/ and bundles/ into the wheel; everything else stands in setup.cfg."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

WRITTEN_BY_RUNS = shutil.ignore_patterns("models", "eval", "output", "features")


class BuildWithResources(build_py):
    """Builds the package with the two folders inside; an editable installation reads them in the checkout."""

    def run(self) -> None:
        """Build."""
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib, "monai_tunevlseg", "resources")
        for name, left_out in (("configs", None), ("bundles", WRITTEN_BY_RUNS)):
            shutil.rmtree(target / name, ignore_errors=True)
            shutil.copytree(name, target / name, ignore=left_out)
        shutil.copy("LICENSE", target)  # bundles get a copy


setup(cmdclass={"build_py": BuildWithResources})
