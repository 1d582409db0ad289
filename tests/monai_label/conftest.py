"""A server that test files share, because its start takes long."""

from __future__ import annotations

import pytest
from label_fixtures import write_bundle, write_studies

from monai_tunevlseg.monai_label import write_app_folder

BOTH = "red object, blue object"


@pytest.fixture(scope="session")
def segmenting_server(tmp_path_factory):
    """A running server with three bundles: one class, two classes, and zero-shot only."""
    from label_server import label_server

    folder = tmp_path_factory.mktemp("label")
    studies = write_studies(folder / "studies")
    bundles = [
        write_bundle(folder / "circles", ("red object",)),
        write_bundle(folder / "shapes", tuple(BOTH.split(", "))),
        write_bundle(folder / "untuned", ("red object",), bundle="clipseg_zero_shot"),
    ]
    app = write_app_folder(folder / "app")
    with label_server(app, studies, ("bundles", ",".join(map(str, bundles)))) as running:
        yield running
