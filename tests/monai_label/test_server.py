"""Inference of the app in MONAI Label's server, through its client."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

import nibabel as nib
import numpy as np
import pytest
from label_fixtures import (
    AFFINE,
    CIRCLES,
    SIZE,
    SQUARE,
    circle_mask,
    dice,
    draw_picture,
)
from PIL import Image

pytest.importorskip("monailabel", reason="monailabel has an environment of its own: make test-label")

from monailabel.client import MONAILabelClient

BOTH = "red object, blue object"


@pytest.fixture
def server(segmenting_server):
    return segmenting_server


@pytest.fixture
def client(server, tmp_path):
    return MONAILabelClient(server.url, tmpdir=str(tmp_path))


def picture_of(file):
    return np.asarray(Image.open(file))


def test_every_bundle_is_a_model(client):
    info = client.info()
    assert {"circles", "shapes", "untuned"} <= set(info["models"])
    assert info["models"]["shapes"]["labels"] == {"red object": 1, "blue object": 2}
    assert info["models"]["shapes"]["config"]["text"] == BOTH
    assert info["models"]["shapes_clicks"]["type"] == "deepgrow"
    assert set(info["trainers"]) == {"circles", "shapes"}
    assert set(info["strategies"]) == {"entropy", "uncertainty", "random", "first"}


def test_a_zero_shot_bundle_segments_and_cannot_be_trained(client, server):
    import requests

    untuned, circles = (client.infer(model, "picture0", {"text": "red object"})[0] for model in ("untuned", "circles"))
    np.testing.assert_array_equal(picture_of(untuned), picture_of(circles))  # which has no checkpoint
    response = requests.post(f"{server.url}/train/untuned", json={})
    assert (response.status_code, "'untuned'" in response.json()["detail"]) == (404, True)


def test_without_text_the_classes_of_the_bundle_become_a_label_map(client):
    file, answer = client.infer("shapes", "picture0", {})
    labels = picture_of(file)
    assert answer["label_names"] == {"red object": 1, "blue object": 2}
    assert labels.shape == SIZE
    assert dice(labels == 1, circle_mask()) > 0.9
    assert labels[SQUARE[::-1]] == 2
    for key in ("presence", "confidence"):
        assert answer[key].keys() == {"red object", "blue object"}
        assert all(0.5 < value <= 1 for value in answer[key].values())


def test_a_text_without_a_mask_has_no_confidence(client):
    file, answer = client.infer(
        "shapes", "picture0", {"roi": [SQUARE[0] - 9, SQUARE[1] - 9, *(at + 9 for at in SQUARE)]}
    )
    assert set(np.unique(picture_of(file))) == {0, 2}
    assert answer["confidence"]["red object"] is None and answer["confidence"]["blue object"] > 0.5
    assert answer["presence"]["red object"] > 0.5  # of the whole image


@pytest.mark.parametrize("text", ["blue object", ["blue object"]])
def test_text_finds_a_class_that_was_never_trained_as_one_mask(client, text):
    file, answer = client.infer("circles", "picture0", {"text": text})
    labels = picture_of(file)
    assert answer["label_names"] == {"blue object": 1}
    assert labels[SQUARE[::-1]] == 1
    assert not labels[CIRCLES[0][::-1]]


@pytest.mark.parametrize("text", ["blue object, red object", ["blue object", "red object"]])
def test_several_texts_become_a_label_map_in_their_order(client, text):
    file, answer = client.infer("circles", "picture0", {"text": text})
    assert answer["label_names"] == {"blue object": 1, "red object": 2}
    assert dice(picture_of(file) == 2, circle_mask()) > 0.9


def test_a_jpeg_gets_a_png_of_its_size(client):
    file, _ = client.infer("circles", "photo", {})
    assert file.endswith(".png")
    assert dice(picture_of(file), circle_mask()) > 0.9


def test_answers_and_clicks_lie_on_a_turned_jpeg_as_viewers_show_it(client, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned clockwise
    draw_picture().transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    click = {"foreground": [list(CIRCLES[0])]}
    file, _ = client.infer("circles", "", click, file=str(tmp_path / "turned.jpg"))
    assert dice(picture_of(file), circle_mask(circles=CIRCLES[:1])) > 0.9


def test_an_uploaded_picture_is_segmented(client, tmp_path):
    draw_picture(7).save(tmp_path / "new.png")
    file, _ = client.infer("circles", "", {}, file=str(tmp_path / "new.png"))
    assert dice(picture_of(file), circle_mask(7)) > 0.9


def test_a_volume_is_segmented_slice_by_slice_and_keeps_its_geometry(client, server, tmp_path):
    volume = nib.load(server.log.parent / "studies" / "volume.nii.gz")
    file, _ = client.infer("circles", "volume", {"text": "circle"})
    result = nib.load(file)
    assert result.shape == volume.shape
    np.testing.assert_allclose(result.affine, AFFINE)
    assert result.header.get_xyzt_units()[0] == "mm"
    for index in (1, 4):  # the result of a slice does not depend on its neighbors
        voxels = np.asarray(volume.dataobj)
        nib.save(nib.Nifti1Image(voxels[..., [index, *range(5)]], AFFINE), tmp_path / "again.nii.gz")
        again, _ = client.infer("circles", "", {"text": "circle"}, file=str(tmp_path / "again.nii.gz"))
        labels = np.asarray(nib.load(again).dataobj)
        np.testing.assert_array_equal(labels[..., 0], labels[..., index + 1])


def test_a_volume_comes_as_nrrd_where_the_client_asks_for_it(client):
    import nrrd

    file, _ = client.infer("circles", "volume", {"text": "circle", "result_extension": ".nrrd"})
    labels, header = nrrd.read(file)
    nifti, _ = client.infer("circles", "volume", {"text": "circle"})
    np.testing.assert_array_equal(labels, np.asarray(nib.load(nifti).dataobj))
    np.testing.assert_allclose(header["space origin"], AFFINE[:3, 3] * [-1, -1, 1])


def test_clicks_and_boxes_keep_and_drop_parts(client):
    first, second = (list(circle) for circle in CIRCLES)

    def mask(**params):
        return picture_of(client.infer("circles_clicks", "picture0", params)[0])

    assert dice(mask(foreground=[first]), circle_mask(circles=CIRCLES[:1])) > 0.9
    assert dice(mask(background=[first], foreground=[]), circle_mask(circles=CIRCLES[1:])) > 0.9
    assert dice(mask(roi=[0, 0, 75, 120]), circle_mask(circles=CIRCLES[:1])) > 0.9
    assert dice(mask(roi=[75, 150, 0, 120, 0, 1]), circle_mask(circles=CIRCLES[1:])) > 0.9
    assert not mask(foreground=[[75, 110]]).any()
    assert dice(mask(foreground=[first, second], background=[second]), circle_mask(circles=CIRCLES[:1])) > 0.9


def test_an_inferred_label_is_saved_where_asked(client, server):
    client.infer("circles", "picture1", {"save_label": True, "label_tag": "original"})
    saved = server.log.parent / "studies" / "labels" / "original" / "picture1.png"
    assert dice(picture_of(saved), circle_mask(1)) > 0.9


@pytest.mark.parametrize(
    ("model", "image", "params", "status", "named"),
    [
        ("liver", "picture0", {}, 404, "'liver'"),
        ("circles", "picture99", {}, 404, "'picture99'"),
        ("circles", "gone.png", {}, 404, "'gone.png'"),
        ("circles", "", {}, 400, "Image"),
        ("circles", "/etc/hostname", {}, 400, "'/etc/hostname'"),
        ("circles", "../app/main.py", {}, 400, "'../app/main.py'"),
        ("circles", "picture0", {"image": "/etc/passwd"}, 400, "'/etc/passwd'"),
        ("circles", "datastore_v2.json", {}, 400, "datastore_v2.json"),
        ("circles", "broken.png", {}, 400, "broken.png"),
        ("circles", "picture0", {"text": ""}, 400, "text "),
        ("circles", "picture0", {"text": " , "}, 400, "text "),
        ("circles", "picture0", {"text": []}, 400, "text is []"),
        ("circles", "picture0", {"text": 7}, 400, "text is 7"),
        ("circles", "picture0", {"text": "x" * 10_000}, 400, "10000"),
        ("circles", "picture0", {"text": ["polyp"] * 2}, 400, "text has 2"),
        ("circles", "picture0", {"text": "\ud800"}, 400, r"'\ud800'"),
        ("circles", "picture0", {"foreground": [[500, 2]]}, 400, "foreground has the position [500, 2]"),
        ("circles", "picture0", {"foreground": "here"}, 400, "foreground is 'here'"),
        ("circles", "picture0", {"background": [["a", "b"]]}, 400, "background has ['a', 'b']"),
        ("circles", "volume", {"foreground": [[5, 5]]}, 400, "[5, 5]"),
        ("circles", "picture0", {"roi": [1, 2, 3]}, 400, "roi is [1, 2, 3]"),
        ("circles", "picture0", {"roi": [900, 900, 950, 950]}, 400, "[900, 900, 950, 950]"),
        ("circles", "picture0", {"result_extension": ".exe"}, 400, "result_extension"),
    ],
)
def test_a_bad_request_is_refused_and_leaves_the_server_running(server, client, model, image, params, status, named):
    (server.log.parent / "studies" / "broken.png").write_bytes(b"no picture")
    response = server.infer(model, image, json.dumps(params))
    assert response.status_code == status
    assert named in response.json()["detail"]
    assert client.infer("circles", "picture0", {})[1]["label_names"] == {"red object": 1}


def test_parameters_that_are_not_json_are_refused(server):
    response = server.infer("circles", "picture0", "{text: polyp")
    assert response.status_code == 400
    assert "params" in response.json()["detail"]


@pytest.mark.parametrize("name", ["../../evil", "/tmp/evil", ".."])
def test_labels_and_images_are_never_written_outside_the_studies(server, name):
    draw = {"label": ("x.png", b"x")}
    response = server_put(server, "label", {"image": "picture0", "tag": name}, draw)
    assert (response.status_code, repr(name) in response.json()["detail"]) == (400, True)
    response = server_put(server, "image", {"image": name}, {"file": ("x.png", b"x")})
    assert (response.status_code, repr(name) in response.json()["detail"]) == (400, True)


def test_a_label_for_an_unknown_image_is_refused(server):
    response = server_put(server, "label", {"image": "nobody"}, {"label": ("x.png", b"x")})
    assert (response.status_code, "nobody" in response.json()["detail"]) == (404, True)


def server_put(server, what, params, files):
    import requests

    return requests.put(f"{server.url}/datastore/{what}", params=params, files=files)


def test_a_batch_needs_no_gpu_and_leaves_out_what_cannot_be_read(server, client):
    import requests

    (server.log.parent / "studies" / "broken.png").write_bytes(b"no picture")
    until = time.monotonic() + 30  # the server notices new files
    while "broken" not in client.datastore()["objects"] and time.monotonic() < until:
        time.sleep(0.1)
    answer = requests.post(f"{server.url}/batch/infer/circles", params={"images": "unlabeled", "run_sync": "true"})
    assert answer.status_code == 200
    results = answer.json()
    assert (results["broken"], results["picture3"]["label"]) == ({}, "picture3")
    saved = server.log.parent / "studies" / "labels" / "original" / "picture3.png"
    assert dice(picture_of(saved), circle_mask(3)) > 0.9


def test_a_session_is_segmented(client, tmp_path):
    draw_picture(5).save(tmp_path / "mine.png")
    session = client.create_session(str(tmp_path / "mine.png"))["session_id"]
    file, _ = client.infer("circles", "", {}, session_id=session)
    assert dice(picture_of(file), circle_mask(5)) > 0.9


def test_eight_clients_at_once_get_the_right_answers(server, tmp_path):
    def ask(number):
        folder = tmp_path / str(number)
        folder.mkdir()
        own = MONAILabelClient(server.url, tmpdir=str(folder))
        model = ("circles", "shapes")[number % 2]
        text = ("red object", BOTH, "blue object", "blue object, red object")[number % 4]
        for _ in range(3):
            file, answer = own.infer(model, f"picture{number}", {"text": text})
            wanted = {name: value for value, name in enumerate(text.split(", "), start=1)}
            assert answer["label_names"] == wanted
            labels = picture_of(file)
            if "red object" in wanted:
                assert dice(labels == wanted["red object"], circle_mask(number)) > 0.9
            else:
                assert not labels[CIRCLES[0][1] + number, CIRCLES[0][0]]
        return number

    with ThreadPoolExecutor(8) as clients:
        assert list(clients.map(ask, range(8))) == list(range(8))
