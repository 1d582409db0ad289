"""Sharing: a trained experiment as a bundle in the form of MONAI's Model Zoo, checked, packed and exported."""

from monai_tunevlseg.sharing.bundle_spec import BundleSpec, Release, Sources, build_bundle_spec
from monai_tunevlseg.sharing.bundle_writer import share_bundle, write_shared_bundle
from monai_tunevlseg.sharing.onnx_export import OnnxFile, export_onnx
from monai_tunevlseg.sharing.packing import pack_bundle, zip_path
from monai_tunevlseg.sharing.verification import CheckResult, verify_bundle

__all__ = [
    "CheckResult",
    "OnnxFile",
    "Release",
    "Sources",
    "BundleSpec",
    "verify_bundle",
    "build_bundle_spec",
    "export_onnx",
    "pack_bundle",
    "share_bundle",
    "write_shared_bundle",
    "zip_path",
]
