"""The MONAI Label app: annotation by text, clicks and boxes, and training on submitted labels.

These modules import monailabel, from the extra ``[label]``: ``active_learning``, ``app``, ``asap_files``,
``content_types``, ``datastore``, ``error_responses``, ``infer_task``, ``label_map_writer``, ``polygons``,
``request_checks``, ``server_processes`` and ``train_task``.
"""

from monai_tunevlseg.monai_label.app_folder import write_app_folder

__all__ = ["write_app_folder"]
