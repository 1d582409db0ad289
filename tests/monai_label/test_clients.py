"""Requests of 3D Slicer, CVAT and QuPath, recorded or written from their sources, and the answers that they read.

The clients' own Python code, which is not part of this repository, was run against the server as well.
"""

from __future__ import annotations

import gzip
import io
import json
import xml.etree.ElementTree as ET
from email.parser import BytesParser
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from label_fixtures import CIRCLES, SIZE, SQUARE, circle_mask, dice, draw_picture
from PIL import Image, ImageDraw

pytest.importorskip("monailabel", reason="monailabel has an environment of its own: make test-label")
import nrrd
import requests

from monai_tunevlseg.monai_label.datastore import FolderDatastore
from monai_tunevlseg.monai_label.training_dataset import write_training_dataset

FOLDER = Path(__file__).parent
RECORDED = {each["name"]: each for each in json.loads((FOLDER / "client_requests.json").read_text())}


def file_content(name):
    """Return a file as the client sends it."""
    if name.endswith(".xml"):
        return (FOLDER / "qupath_label.xml").read_bytes()
    if name.endswith(".nii.gz"):  # 3D Slicer stores pictures as volumes of one slice
        volume = nib.Nifti1Image(circle_mask(4).T[..., None].astype(np.uint8), np.diag([-1.0, -1, 1, 1]))
        return gzip.compress(volume.to_bytes())
    stored = io.BytesIO()
    draw_picture().save(stored, {".jpg": "JPEG", ".png": "PNG"}[Path(name).suffix])
    return stored.getvalue()


@pytest.fixture
def send(segmenting_server):
    """Send a recorded request; requests without fields have no content type, as from Java's HTTP client."""

    def sent(name, headers=None):
        recorded = RECORDED[name]
        parts = {key: (None, json.dumps(value)) for key, value in recorded.get("fields", {}).items()}
        for key, (file, kind) in recorded.get("files", {}).items():
            parts[key] = (file, file_content(file), kind)
        body = json.dumps(recorded["body"]) if "body" in recorded else None
        url = segmenting_server.url + recorded["path"]
        return requests.request(recorded["method"], url, data=body, files=parts or None, headers=headers)

    return sent


@pytest.fixture
def studies(segmenting_server):
    return segmenting_server.log.parent / "studies"


def parts_of(response):
    """Return the parameters and the file of an answer in several parts."""
    assert response.status_code == 200, response.text
    kind = f"Content-Type: {response.headers['content-type']}\r\n\r\n".encode()
    params, image = BytesParser().parsebytes(kind + response.content).get_payload()
    return json.loads(params.get_payload(decode=True)), image.get_payload(decode=True)


def filled(polygons):
    picture = Image.new("1", SIZE[::-1])
    for polygon in polygons:
        ImageDraw.Draw(picture).polygon([tuple(map(float, point)) for point in polygon], fill=1, outline=1)
    return np.asarray(picture)


def qupath_polygons(response, label):
    assert response.status_code == 200, response.text
    return [
        [(each.get("X"), each.get("Y")) for each in annotation.iter("Coordinate")]
        for annotation in ET.fromstring(response.text).iter("Annotation")
        if annotation.get("Name") == label
    ]


def test_the_detector_of_cvat_gets_polygons(send):
    answer = send("CVAT's detector")
    assert answer.headers["content-type"] == "application/json"
    (annotation,) = answer.json()["annotations"]
    contours = {each["label"]: each["contours"] for each in annotation["annotation"]["elements"]}
    assert dice(filled(contours["red object"]), circle_mask()) > 0.9
    assert filled(contours["blue object"])[SQUARE[::-1]]
    assert not answer.json().get("prediction")  # which would mean a classification


def test_the_interactor_of_cvat_gets_a_mask_of_the_picture_s_size(send):
    _, file = parts_of(send("CVAT's interactor"))
    assert dice(np.asarray(Image.open(io.BytesIO(file))), circle_mask(circles=CIRCLES[:1])) > 0.9


@pytest.mark.parametrize(("name", "circles"), [("3D Slicer segments", CIRCLES), ("3D Slicer clicks", CIRCLES[:1])])
def test_slicer_gets_nrrd_and_names_in_the_order_of_values(name, circles, send, tmp_path):
    params, file = parts_of(send(name))
    assert params["label_names"] == {"red object": 1}
    (tmp_path / "mask.nrrd").write_bytes(file)
    labels, _ = nrrd.read(str(tmp_path / "mask.nrrd"))
    assert labels.dtype == np.uint8 and dice(labels.T, circle_mask(1, circles)) > 0.9


def test_qupath_gets_polygons(send):
    answer = send("QuPath segments")
    assert dice(filled(qupath_polygons(answer, "red object")), circle_mask(2)) > 0.9
    assert filled(qupath_polygons(answer, "blue object"))[SQUARE[1] + 2, SQUARE[0]]
    uploaded = filled(qupath_polygons(send("QuPath segments an upload"), "red object"))
    assert dice(uploaded, circle_mask()) > 0.9


def test_qupath_gets_polygons_of_its_region_alone(send):
    (polygon,) = qupath_polygons(send("QuPath clicks in a region"), "red object")
    assert dice(filled([polygon]), circle_mask(2, CIRCLES[:1])) > 0.9


def test_qupath_finds_images(send):
    assert send("QuPath looks for an image").status_code == 200
    sample = send("QuPath asks for the next sample").json()
    assert Path(sample["path"]).stem == sample["id"]


def test_a_page_of_another_origin_may_not_leave_out_the_content_type(send):
    answer = send("QuPath asks for the next sample", {"Origin": "http://example.org"})
    assert answer.status_code == 422


def test_submitted_labels_train(send, studies, tmp_path):
    for name in ("QuPath submits", "3D Slicer submits"):
        answer = send(name)
        assert answer.status_code == 200, answer.text
    labels = [
        each for each in FolderDatastore(str(studies)).submitted_labels() if each.image.stem in ("picture2", "picture4")
    ]
    write_training_dataset(labels, ["blue object", "red object"], tmp_path, 0.5)
    qupath, slicer = (np.asarray(Image.open(file)) for file in sorted((tmp_path / "masks").iterdir()))
    assert dice(qupath == 2, circle_mask(2, CIRCLES[:1])) > 0.97
    assert (qupath == 1).sum() == 25 * 25
    np.testing.assert_array_equal(slicer == 2, circle_mask(4))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"location": [1]}, "location is"),
        ({"size": [1, 2, 3]}, "size is"),
        ({"location": [400, 400], "size": [10, 10]}, "roi"),
        ({"min_poly_area": -1}, "min_poly_area is -1"),
    ],
)
def test_a_wrong_region_is_refused(change, named, segmenting_server):
    recorded = RECORDED["QuPath segments"]
    answer = requests.post(segmenting_server.url + recorded["path"], json=recorded["body"] | change)
    assert (answer.status_code, named in answer.json()["detail"]) == (400, True)


@pytest.mark.parametrize(
    ("image", "params", "named"),
    [
        ("volume", {"output": "json"}, "output is 'json'"),
        ("picture1", {"output": "json", "save_label": True}, "save_label"),
        ("picture1", {"output": "json", "min_poly_area": "x"}, "min_poly_area is 'x'"),
    ],
)
def test_polygons_are_refused_where_there_are_none(image, params, named, segmenting_server):
    answer = segmenting_server.infer("circles", image, json.dumps(params))
    assert (answer.status_code, named in answer.json()["detail"]) == (400, True)


@pytest.mark.parametrize(("image", "named"), [("volume", "label.xml"), ("picture1", "label.xml")])
def test_a_file_of_polygons_that_cannot_be_read_is_refused(image, named, segmenting_server):
    files = {"label": ("label.xml", b"<html/>", "application/xml")}
    url = f"{segmenting_server.url}/datastore/label?image={image}"
    answer = requests.put(url, files=files)
    assert (answer.status_code, named in answer.json()["detail"]) == (400, True)
