"""Shared bundles, written from an experiment and a run in one call."""

from __future__ import annotations

from pathlib import Path

from monai_tunevlseg.sharing import Release, Sources, build_bundle_spec, write_shared_bundle


def share_bundle(
    experiment: str,
    output_dir: Path,
    run_dir: Path | None = None,
    sources: Sources | None = None,
    release: Release | None = None,
) -> Path:
    sources = sources or Sources()
    spec = build_bundle_spec(experiment, run_dir, sources)
    return write_shared_bundle(spec, output_dir, sources.configs_dir, release or Release())
