"""Polygons of label maps, and ASAP's files of polygons as QuPath reads and submits them."""

from __future__ import annotations

import xml.dom.minidom
from pathlib import Path

import numpy as np
import pytest
from label_fixtures import CIRCLES, SIZE, circle_mask, dice
from matplotlib.path import Path as Outline

pytest.importorskip("monailabel", reason="monailabel has an environment of its own: make test-label")

from monai_tunevlseg.monai_label.asap_files import draw_asap, write_asap
from monai_tunevlseg.monai_label.polygons import as_annotations, trace_polygons

QUPATH = Path(__file__).with_name("qupath_label.xml")


def two_labels() -> np.ndarray:
    """Return (X, Y): circles with the value 1, and a square with a hole with the value 2."""
    labels = circle_mask().T.astype(np.uint8)
    labels[100:125, 13:38] = 2
    labels[110:114, 20:24] = 0
    return labels


def test_outlines_enclose_the_pixels_of_their_mask():
    traced = trace_polygons(two_labels(), ["a", "b", "c"])
    assert [(each.label, len(each.polygons)) for each in traced] == [("a", 2), ("b", 1)]
    columns, rows = np.meshgrid(*map(np.arange, SIZE[::-1]))
    places = np.stack([columns.ravel(), rows.ravel()], axis=1)
    inside = [Outline([*line, line[0]]).contains_points(places, radius=0.01) for line in traced[0].polygons]
    inside += [Outline([*line, line[0]]).contains_points(places, radius=-0.01) for line in traced[0].polygons]
    np.testing.assert_array_equal(np.any(inside, axis=0).reshape(SIZE), circle_mask())


def test_small_polygons_are_left_out():
    labels = np.zeros((40, 30), np.uint8)
    labels[5:9, 5:9] = labels[20:30, 10:20] = 1
    labels[35, 25] = 1
    for area, count in ((0, 2), (9, 2), (9.5, 1), (81.5, 0)):
        assert sum(len(each.polygons) for each in trace_polygons(labels, ["a"], area)) == count
    whole = {"location": [0, 0], "size": [40, 30]}
    assert as_annotations([], (40, 30)) == [{"annotation": {**whole, "elements": [], "labels": {}}}]


def test_written_polygons_are_drawn_again_without_holes():
    names = ['tumor & "edge" <core>', "b"]
    path = write_asap(trace_polygons(two_labels(), names), "model")
    drawn, values = draw_asap(path, SIZE)
    assert values == {names[0]: 1, "b": 2}
    filled = two_labels().T
    filled[20:24, 110:114] = 2
    np.testing.assert_array_equal(drawn, filled)


def test_another_parser_reads_what_qupath_looks_for():
    path = write_asap(trace_polygons(two_labels(), ["a", "b"]), "model")
    annotations = xml.dom.minidom.parse(str(path)).getElementsByTagName("Annotation")
    assert [node.getAttribute("Name") for node in annotations] == ["a", "a", "b"]
    for node in annotations:
        int(node.getAttribute("Color").replace("#", ""), 16)
        (coordinates,) = (child for child in node.childNodes if child.nodeType == child.ELEMENT_NODE)
        assert len([float(each.getAttribute("X")) for each in coordinates.getElementsByTagName("Coordinate")]) > 2


def test_shapes_of_qupath_are_drawn():
    drawn, values = draw_asap(QUPATH, SIZE)
    assert values == {"red object": 1, "blue object": 2}
    assert dice(drawn == 1, circle_mask(2, CIRCLES[:1])) > 0.97
    square = np.zeros(SIZE, bool)
    square[15:40, 100:125] = True
    np.testing.assert_array_equal(drawn == 2, square)
    assert not drawn[2].any()  # the line


def annotation(points, name="a", kind="Geometry", group="a"):
    written = "".join(f'<Coordinate X="{x}" Y="{y}"/>' for x, y in points)
    opened = f'<Annotation Name="{name}" Type="{kind}" PartOfGroup="{group}">'
    return f"{opened}<Coordinates>{written}</Coordinates></Annotation>"


def drawn_from(folder, text):
    path = folder / "label.xml"
    path.write_text(f"<ASAP_Annotations><Annotations>{text}</Annotations></ASAP_Annotations>")
    return draw_asap(path, (30, 40))


def test_parts_and_holes_of_a_shape_are_drawn(tmp_path):
    def ring(x, y, side):
        return [(x, y), (x + side, y), (x + side, y + side), (x, y + side), (x, y)]

    drawn, _ = drawn_from(tmp_path, annotation([*ring(2, 2, 16), *ring(6, 6, 8), *ring(25, 5, 6)]))
    assert drawn[4, 4] and not drawn[10, 10] and drawn[8, 28] and not drawn[8, 22]


def test_a_group_names_the_label_where_annotations_are_numbered(tmp_path):
    triangle = [(1, 1), (20, 1), (1, 20)]
    text = annotation(triangle, "Annotation 0", "Polygon", "polyp") + annotation(triangle, "lesion", "Polygon", "None")
    drawn, values = drawn_from(tmp_path, text)
    assert values == {"polyp": 1, "lesion": 2} and set(np.unique(drawn)) == {0, 2}  # the later one is on top


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (annotation([(1, "x"), (2, 2), (3, 1)]), "'x'"),
        (annotation([(1, "nan"), (2, 2), (3, 1)]), "'nan'"),
        (annotation([(1, 1e300), (2, 2), (3, 1)]), "'1e\\+300'"),
        ("<Annotation>", "label.xml"),
        ("".join(annotation([(1, 1), (9, 1), (1, 9)], group=f"g{n}") for n in range(256)), "255"),
    ],
)
def test_a_wrong_file_is_named(text, named, tmp_path):
    with pytest.raises(ValueError, match=named):
        drawn_from(tmp_path, text)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ('<!DOCTYPE a [<!ENTITY b "c">]><ASAP_Annotations>&b;</ASAP_Annotations>', "document type 'a'"),
        ("<annotations/>", "'annotations'"),
        ("", "no element"),
    ],
)
def test_another_kind_of_xml_is_refused(content, named, tmp_path):
    (tmp_path / "label.xml").write_text(content)
    with pytest.raises(ValueError, match=named):
        draw_asap(tmp_path / "label.xml", (30, 40))
