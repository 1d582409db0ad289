"""Share a trained experiment as a bundle of MONAI's Model Zoo: write, verify, pack and export it."""

from monai_tunevlseg.sharing.bundle_spec import BundleSpec, Release, Sources, build_bundle_spec
from monai_tunevlseg.sharing.bundle_writer import write_shared_bundle
from monai_tunevlseg.sharing.exported_network import infer_exported
from monai_tunevlseg.sharing.hub_upload import HubUpload, prepare_upload, push_bundle
from monai_tunevlseg.sharing.large_files import check_files_url, large_files
from monai_tunevlseg.sharing.onnx_export import OnnxFile, export_onnx
from monai_tunevlseg.sharing.packing import pack_bundle, zip_path
from monai_tunevlseg.sharing.unit_test import write_unit_test
from monai_tunevlseg.sharing.verification import CheckResult, verify_bundle

__all__ = [
    "BundleSpec",
    "CheckResult",
    "HubUpload",
    "OnnxFile",
    "Release",
    "Sources",
    "build_bundle_spec",
    "check_files_url",
    "export_onnx",
    "infer_exported",
    "large_files",
    "pack_bundle",
    "prepare_upload",
    "push_bundle",
    "verify_bundle",
    "write_shared_bundle",
    "write_unit_test",
    "zip_path",
]
