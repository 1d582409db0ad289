"""Client-supplied names that become paths."""

from __future__ import annotations

import os

import pytest

from monai_tunevlseg.monai_label.path_checks import check_image_id, check_path_component

pytest.importorskip("hypothesis", reason="the environment of MONAI Label has no hypothesis; make test runs this")

from hypothesis import example, given
from hypothesis import strategies as st

ANYTHING = st.text(st.sampled_from("ab./\\\0\n ~") | st.characters(), max_size=300)


@given(ANYTHING)
@example("../x")
@example("/etc/passwd")
@example("a//b")
@example("a/./b")
def test_an_id_never_leads_out_of_its_folder(name):
    try:
        check_image_id(name, "image")
    except ValueError as error:
        assert len(str(error)) < 1000
    else:
        path = os.path.normpath(os.path.join("/studies", name))  # noqa: PTH118
        assert path == f"/studies/{name}"


@pytest.mark.parametrize(
    "name", ["a/b", "a\\b", "..", ".", "", "a\0", "a\n", "x" * 201, "é" * 101, None, 5, {"a": 1}, ["a"]]
)
def test_names_that_are_not_a_path_component_are_refused(name):
    with pytest.raises(ValueError, match="^tag "):
        check_path_component(name, "tag")


@pytest.mark.parametrize("name", ["final", "$x", "@a", "%b", "c#d", "scan of today", "é" * 100, "..a"])
def test_path_components_are_unchanged(name):
    assert check_path_component(name, "tag") == name
