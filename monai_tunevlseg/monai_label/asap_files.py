"""ASAP's XML files of polygons, which QuPath's extension for MONAI Label reads and submits."""

from __future__ import annotations

import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from monai_tunevlseg.monai_label.polygons import LabeledPolygons

__all__ = ["ASAP_SUFFIX", "draw_asap", "write_asap"]

ASAP_SUFFIX = ".xml"
MAX_COORDINATE = 2**20
MAX_LABELS = 255  # values of an 8-bit label map
WITHOUT_GROUP = (None, "", "None")
WITHOUT_AREA = ("Line", "Polyline", "Points", "Dot", "PointSet", "Measurement")


def write_asap(traced: Sequence[LabeledPolygons], model: str) -> Path:
    """Write outlines into a temporary file.

    Args:
        traced: the outlines.
        model: name of the model.
    """
    root = ET.Element("ASAP_Annotations")
    annotations = ET.SubElement(root, "Annotations", Name="MONAI Label", Model=model)
    groups = ET.SubElement(root, "AnnotationGroups")
    for each in traced:
        color = "#{:02x}{:02x}{:02x}".format(*each.color)
        ET.SubElement(groups, "Group", Name=each.label, PartOfGroup="None", Color=color)
        for polygon in each.polygons:
            of_label = {"Name": each.label, "Type": "Polygon", "PartOfGroup": each.label, "Color": color}
            coordinates = ET.SubElement(ET.SubElement(annotations, "Annotation", of_label), "Coordinates")
            for order, (x, y) in enumerate(polygon):
                ET.SubElement(coordinates, "Coordinate", Order=str(order), X=str(x), Y=str(y))
    with tempfile.NamedTemporaryFile(suffix=ASAP_SUFFIX, delete=False) as file:
        ET.ElementTree(root).write(file, encoding="utf-8", xml_declaration=True)
    return Path(file.name)


def draw_asap(path: Path, shape: tuple[int, int]) -> tuple[np.ndarray, dict[str, int]]:
    """Draw the annotations of a file as a label map; a later annotation covers an earlier one.

    Rings inside a ring of the same annotation are holes. Points and lines have no area and are left out.

    Args:
        path: the file.
        shape: (H, W) of the image.

    Returns:
        uint8, (H, W), and the value of each label, 1, 2, ... in the order of their first annotation.

    Raises:
        ValueError: when the file is not ASAP's XML, or has an invalid number or too many labels.
    """
    drawn, values = np.zeros(shape, np.uint8), dict[str, int]()
    for annotation in _root(path).iter("Annotation"):
        group = annotation.get("PartOfGroup")
        label = annotation.get("Name", "") if group in WITHOUT_GROUP else str(group)
        inside = _inside(annotation, label, shape)
        if not inside.any():
            continue
        value = values.setdefault(label, len(values) + 1)
        if value > MAX_LABELS:
            raise ValueError(f"{path} has more than {MAX_LABELS} labels; submit fewer.")
        drawn[inside] = value
    return drawn, values


class _WithoutDocumentType(ET.TreeBuilder):
    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        """Refuse a document type, which may define entities that expand to any length."""
        raise ValueError(f"its document type {name!r:.100} is not allowed")


def _root(path: Path) -> ET.Element:
    try:
        root = ET.parse(path, ET.XMLParser(target=_WithoutDocumentType())).getroot()
    except (ET.ParseError, ValueError) as error:
        raise ValueError(f"{path} is not an XML file of ASAP: {error}.") from error
    if root.tag != "ASAP_Annotations":
        raise ValueError(f"{path} is not an XML file of ASAP: it starts with {root.tag!r:.100}.")
    return root


def _inside(annotation: ET.Element, label: str, shape: tuple[int, int]) -> np.ndarray:
    """Return the pixels of an annotation: bool, (H, W)."""
    points = [_point(coordinate, label) for coordinate in annotation.iter("Coordinate")]
    if annotation.get("Type") in WITHOUT_AREA:
        return np.zeros(shape, bool)
    if annotation.get("Type") == "Ellipse" and len(points) == 4:
        return _in_ellipse(np.asarray(points), shape)
    inside = np.zeros(shape, np.uint8)
    if rings := _rings(points):
        cv2.fillPoly(inside, rings, 1)
    return inside > 0


def _rings(points: list[tuple[float, float]]) -> list[np.ndarray]:
    """Split a line into its closed parts with an area: int32, (N, 2) each."""
    rings, start = [], 0
    while start < len(points):  # QuPath joins the rings of a shape, each of which ends at its first point
        later = range(start + 3, len(points))
        end = next((at for at in later if points[at] == points[start]), len(points) - 1)
        rings.append(np.asarray(points[start : end + 1]).round().astype(np.int32))
        start = end + 1
    return [ring for ring in rings if len(ring) > 2]


def _point(coordinate: ET.Element, label: str) -> tuple[float, float]:
    texts = coordinate.get("X", ""), coordinate.get("Y", "")
    try:
        x, y = map(float, texts)
    except ValueError:
        x = y = np.nan
    if not (abs(x) <= MAX_COORDINATE and abs(y) <= MAX_COORDINATE):  # true for NaN too
        raise ValueError(f"an annotation of {label!r:.100} has the coordinate {texts}; it must be two numbers.")
    return x, y


def _in_ellipse(extremes: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return the pixels in an ellipse, given by its points at the top, right, bottom and left, (4, 2)."""
    low, high = extremes.min(axis=0), extremes.max(axis=0)
    (x, y), (width, height) = (low + high) / 2, np.maximum((high - low) / 2, 0.5)
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    inside: np.ndarray = ((columns - x) / width) ** 2 + ((rows - y) / height) ** 2 <= 1
    return inside
