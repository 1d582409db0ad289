"""The MONAI Label app: annotation by text, clicks and boxes, with prompts that are re-tuned on what was annotated.

Nothing here is imported by the rest of the package; what needs monailabel itself (extra ``[label]``) is in ``app``,
``inference``, ``tuning``, ``strategy`` and ``studies``.
"""

from monai_tunevlseg.label.folder import write_app_folder

__all__ = ["write_app_folder"]
