"""``python -m monai_tunevlseg.monai_label ARGUMENTS``: the command ``monailabel``, where torch and torchvision differ.

Where both are CPU builds, or both CUDA builds, the plain command ``monailabel`` does the same.
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

STARTUP = Path(__file__).parent / "startup"


def main() -> None:
    """Run ``monailabel`` with the same arguments.

    Raises:
        SystemExit: when monailabel is not installed.
    """
    inherited = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(STARTUP), *([inherited] if inherited else [])])
    runpy.run_path(str(STARTUP / "sitecustomize.py"))  # this process started without it
    try:
        from monailabel.main import Main
    except ModuleNotFoundError as error:
        sys.exit(f"{error}; install it with pip install -c constraints-label.txt -e '.[label]'.")
    Main().run()


if __name__ == "__main__":
    main()
