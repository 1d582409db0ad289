"""``python -m monai_tunevlseg.monai_label ARGUMENTS``: the command ``monailabel`` for unequal builds of torch.

With torch and torchvision both built for the CPU, or both for CUDA, ``monailabel`` itself does the same.
"""

from __future__ import annotations

import os
import sys

from monai_tunevlseg.monai_label.torchvision_builds import STARTUP, accept_unequal_builds


def main() -> None:
    """Run ``monailabel`` with the same arguments.

    Raises:
        SystemExit: when monailabel is not installed.
    """
    inherited = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(STARTUP), *([inherited] if inherited else [])])
    accept_unequal_builds()  # because Python did not do so at the start of this process
    try:
        from monailabel.main import Main
    except ModuleNotFoundError as error:
        sys.exit(f"{error}; install it with pip install -c constraints-label.txt -e '.[label]'.")
    Main().run()


if __name__ == "__main__":
    main()
