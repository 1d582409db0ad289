"""Sharing: a trained pair as a bundle in the form of MONAI's Model Zoo, checked, packed and exported."""

from monai_tunevlseg.sharing.checking import Check, check_bundle
from monai_tunevlseg.sharing.exporting import OnnxFile, export_onnx, load_bundle
from monai_tunevlseg.sharing.packing import pack_bundle, zip_path
from monai_tunevlseg.sharing.subject import Release, Sources, Subject, describe
from monai_tunevlseg.sharing.writing import write_bundle, write_subject

__all__ = [
    "Check",
    "OnnxFile",
    "Release",
    "Sources",
    "Subject",
    "check_bundle",
    "describe",
    "export_onnx",
    "load_bundle",
    "pack_bundle",
    "write_bundle",
    "write_subject",
    "zip_path",
]
