"""Inspect a bundle of unknown origin, without running any of it: its code, its weights and its digests."""

from monai_tunevlseg.inspection.bundle_source import BundleSource, open_bundle
from monai_tunevlseg.inspection.findings import Finding
from monai_tunevlseg.inspection.inspection import Inspection, inspect_bundle

__all__ = ["BundleSource", "Finding", "Inspection", "inspect_bundle", "open_bundle"]
