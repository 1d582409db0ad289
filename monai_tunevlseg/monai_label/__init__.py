"""The MONAI Label app: annotation by text, clicks and boxes, with prompts that are re-tuned on what was annotated.

Nothing here is imported by the rest of the package; what needs monailabel itself (extra ``[label]``) is in ``app``,
``infer_task``, ``train_task``, ``active_learning``, ``datastore``, ``label_map_writer``, ``request_checks`` and
``server_processes``.
"""

from monai_tunevlseg.monai_label.app_folder import write_app_folder

__all__ = ["write_app_folder"]
