"""Hostile requests to every endpoint: nothing in them is executed, and the server stays up."""

from __future__ import annotations

import io
import json
import time

import pytest
from label_fixtures import circle_mask, draw_picture, write_bundle
from PIL import Image

from monai_tunevlseg.monai_label import write_app_folder

pytest.importorskip("monailabel", reason="monailabel has an environment of its own: make test-label")

import requests
from fastapi import HTTPException
from label_server import label_server

DEEP = "[" * 100_000
OPTIONS = ("learning_rate", "batch_size", "effective_batch_size", "max_epochs", "val_split", "pretrained")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("requests")
    (folder / "studies").mkdir()
    for number in range(3):
        draw_picture(number).save(folder / "studies" / f"picture{number}.png")
    bundle = write_bundle(folder / "things", ("lesion",))
    with label_server(write_app_folder(folder / "app"), folder / "studies", ("bundles", str(bundle))) as running:
        for number in range(2):  # enough for a training to start
            answer = put(running, "datastore/label", {"image": f"picture{number}"}, {"label": ("l.png", mask())})
            assert answer.status_code == 200
        yield running


@pytest.fixture(scope="module")
def planted(server):
    """A file that an executed payload creates; it must never appear."""
    file = server.log.parent / "planted"
    yield file
    time.sleep(1)
    assert not file.exists()
    assert requests.get(f"{server.url}/info/").status_code == 200


def payloads(planted):
    return [
        f"$open({str(planted)!r}, 'w').close()",
        f"$__import__('pathlib').Path({str(planted)!r}).touch()",
        "@batch_size",
        "%things/configs/train.yaml::epochs",
        "network#base::x",
        f"'; touch {planted} #",
        f"$(touch {planted})",
    ]


def mask(number=0):
    file = io.BytesIO()
    Image.fromarray(circle_mask(number).astype("uint8")).save(file, "PNG")
    return file.getvalue()


def put(server, path, query=None, files=None, **fields):
    return requests.put(f"{server.url}/{path}", params=query, files=files, data=fields)


def post(server, path, content=None, **query):
    return requests.post(f"{server.url}/{path}", json=content, params=query)


def refused(answer):
    """Check that the response is 4xx with a message."""
    assert 400 <= answer.status_code < 500, answer.text
    assert isinstance(answer.json()["detail"], (str, list))
    return True


def test_every_option_of_a_training(server, planted):
    for payload in payloads(planted):
        for option in OPTIONS:
            answer = post(server, "train/things", {option: payload})
            assert answer.status_code == 400
            assert answer.json()["detail"].startswith(f"{option} is ")
        for params in ({payload: 1}, {"gpus": payload}, {"model": payload}, {"bundle_path": payload}, {"run": payload}):
            assert refused(post(server, "train/things", params))
        assert refused(post(server, "train/", {"things": {"learning_rate": payload}}))
        assert refused(post(server, f"train/{requests.utils.quote(payload, safe='')}", {}))
    assert requests.get(f"{server.url}/train/").status_code == 404  # no task exists


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"max_epochs": 0}, "max_epochs"),
        ({"max_epochs": "abc"}, "max_epochs"),
        ({"max_epochs": 1e30}, "max_epochs"),
        ({"batch_size": 0}, "batch_size"),
        ({"val_split": 1}, "val_split"),
        ({"epochs": 3}, "epochs"),
        ({"gpus": 0}, "gpus"),
    ],
)
def test_a_wrong_training_is_refused_before_it_becomes_a_task(server, options, name):
    answer = post(server, "train/things", options)
    assert (answer.status_code, name in answer.json()["detail"]) == (400, True)
    assert requests.get(f"{server.url}/train/").status_code == 404


def test_texts_and_parameters_of_inference(server, planted):
    for payload in payloads(planted):
        answer = server.infer("things", "picture0", json.dumps({"text": [payload]}))
        assert answer.status_code == 200  # a valid text
        for params in (
            {"foreground": payload},
            {"foreground": [[payload, 1]]},
            {"roi": payload},
            {"result_extension": payload},
            {"image": payload},
            {"save_label": True, "label_tag": f"../{payload}"},
            {"save_label": True, "label_tag": {"a": 1}},
        ):
            assert refused(server.infer("things", "picture0", json.dumps(params)))
        assert refused(server.infer(requests.utils.quote(payload, safe=""), "picture0"))
        assert refused(server.infer("things", payload))
        for wsi in ({"params": {"text": [payload], "roi": payload}}, {"level": [payload]}, {"max_workers": payload}):
            query = {"image": "picture0"}
            answer = requests.post(f"{server.url}/infer/wsi_v2/things", params=query, data={"wsi": json.dumps(wsi)})
            assert answer.status_code < 500  # unknown parameters are ignored
        harmless = {"label": payload, "device": payload, "label_info": payload, payload: payload}
        assert server.infer("things", "picture0", json.dumps(harmless)).status_code == 200


@pytest.mark.parametrize("params", ["{text: polyp", "[]", "5", '"x"', DEEP, '{"text": ' + "[" * 900 + "]" * 900 + "}"])
def test_parameters_that_are_not_an_object(server, params):
    assert refused(server.infer("things", "picture0", params))
    assert refused(put(server, "datastore/label", {"image": "picture0"}, {"label": ("l.png", mask())}, params=params))
    assert refused(put(server, "datastore/image", {}, {"file": ("new.png", mask())}, params=params))
    assert refused(put(server, "datastore/image/info", {"image": "picture0"}, {"x": ("", "")}, info=params))


@pytest.mark.parametrize("path", ["train/things", "activelearning/entropy", "batch/infer/things", "scoring/dice"])
@pytest.mark.parametrize("body", ["{", "[]", "5", DEEP])
def test_bodies_that_are_not_an_object(server, path, body):
    assert refused(
        requests.post(f"{server.url}/{path}", data=body, headers={"content-type": "application/json"}),
    )


def test_names_tags_and_notes_of_the_datastore(server, planted):
    for payload in payloads(planted):
        label = {"label": ("l.png", mask())}
        for tag in (payload, f"../{payload}"):
            answer = put(server, "datastore/label", {"image": "picture2", "tag": tag}, label)
            assert answer.status_code == 200 if "/" not in tag else refused(answer)
        note = json.dumps({"label_info": [{"name": payload, "idx": 1}]})
        assert put(server, "datastore/label", {"image": "picture2"}, label, params=note).status_code == 200
        note = json.dumps({"label_info": [{"name": "lesion", "idx": payload}]})
        assert refused(put(server, "datastore/label", {"image": "picture2"}, label, params=note))
        assert refused(put(server, "datastore/label", {"image": "picture2"}, {"label": (f"l.{payload}", b"x")}))
        assert refused(put(server, "datastore/label", {"image": payload}, label))
        name = payload.replace("/", "_")
        answer = put(server, "datastore/image", {"image": name}, {"file": (f"{name}.png", mask())})
        assert answer.json() == {"image": name}
        assert refused(requests.get(f"{server.url}/datastore/image", params={"image": f"../{payload}"}))
        assert requests.delete(f"{server.url}/datastore/image", params={"id": name}).status_code == 200
    info = {"strategy": "x"}
    assert refused(put(server, "datastore/image/info", {"image": "picture0"}, {"x": ("", "")}, info=json.dumps(info)))
    requests.delete(f"{server.url}/datastore/label", params={"id": "picture2", "tag": "final"})


@pytest.mark.parametrize("suffix", [".py", ".json", ".sh", ".svg", ""])
def test_only_images_are_kept_in_the_studies(server, suffix):
    """datastore_v2.json would redirect the datastore, and a module could be imported."""
    for name in ("datastore_v2", "sitecustomize"):
        for path, field, query in (("image", "file", {"image": name}), ("label", "label", {"image": "picture0"})):
            answer = put(server, f"datastore/{path}", query, {field: (f"{name}{suffix}", b"{}")})
            assert refused(answer)
    assert not list((server.log.parent / "studies").rglob("sitecustomize*"))


def test_active_learning_batches_scoring_and_sessions(server, planted):
    for payload in payloads(planted):
        quoted = requests.utils.quote(payload, safe="")
        for params in ({"model": payload}, {"max_samples": payload}, {"strategy": payload}):
            assert refused(post(server, "activelearning/entropy", params))
        assert refused(post(server, f"activelearning/{quoted}", {}))
        for path in ("batch/infer/things", "scoring/dice"):
            assert refused(post(server, path, {"bundle_path": str(planted.parent)}))
            assert refused(post(server, path, {"gpus": payload}))
            assert refused(post(server, path, {"text": "x" * 100_000}))
        assert refused(post(server, f"batch/infer/{quoted}", {}))
        assert refused(server.infer("things", "", session_id=f"../{payload}"))
        assert refused(requests.get(f"{server.url}/session/{quoted}"))
        assert refused(requests.delete(f"{server.url}/session/{quoted}"))
    for samples in (0, -1, True, 1_000_000, 1.5, None):
        assert refused(post(server, "activelearning/entropy", {"max_samples": samples}))
    archive = {"files": ("a.tar", b"")}
    assert refused(put(server, "session/", {"uncompress": "true"}, archive))
    assert refused(put(server, "session/", {}, {"files": ("..", b"x")}))


def test_a_session_is_never_a_path(server):
    victim = server.log.parent / "victim"
    victim.mkdir()
    (victim / "meta.info").write_text(json.dumps({"image": "/nowhere"}))
    answer = requests.post(f"{server.url}/infer/things", params={"session_id": str(victim)}, data={"params": "{}"})
    assert refused(answer)
    assert victim.is_dir()


@pytest.mark.parametrize("name", ["../../evil", "/tmp/evil", "..", "a\0b", "x" * 300])
def test_names_that_are_paths(server, name):
    assert refused(put(server, "datastore/label", {"image": "picture0", "tag": name}, {"label": ("l.png", mask())}))
    assert refused(put(server, "datastore/image", {"image": name}, {"file": ("l.png", mask())}))
    for path in ("image", "image/info", "label"):
        answer = requests.get(f"{server.url}/datastore/{path}", params={"image": name, "label": name, "tag": "final"})
        assert refused(answer)


def test_refused_uploads_have_the_clients_name_and_are_removed(server):
    damaged = {"file": ("scan of today.png", b"no picture")}
    answer = requests.post(f"{server.url}/infer/things", data={"params": "{}"}, files=damaged)
    assert refused(answer)
    assert "scan of today.png" in answer.json()["detail"]
    assert "tmp" not in answer.json()["detail"]
    answer = put(server, "datastore/label", {"image": "picture0"}, {"label": ("drawn.png", b"no picture")})
    assert "drawn.png" in answer.json()["detail"]
    answer = requests.post(
        f"{server.url}/infer/things", params={"image": "picture0", "output": "dicom_seg"}, data={"params": "{}"}
    )
    assert refused(answer)
    until = time.monotonic() + 5  # removed just after the response
    while (left := list(uploads(server))) and time.monotonic() < until:
        time.sleep(0.05)
    assert not left


def uploads(server):
    return (path for path in (server.log.parent / "tmp").glob("tunevlseg-label-*/uploads/*") if path.is_file())


def test_whole_slide_inference_opens_no_file_outside_the_studies(server):
    outside = server.log.parent / "outside.svs"
    outside.write_bytes(b"secret")
    answer = requests.post(f"{server.url}/infer/wsi_v2/things", params={"image": str(outside)}, data={"wsi": "{}"})
    assert refused(answer) and "outside.svs" in answer.json()["detail"]


@pytest.mark.parametrize(
    "path", ["../tools/execute-script", "studies/%2e%2e/%2E./system", "..\\system", "a/%252e%252e"]
)
def test_the_proxy_reaches_only_the_dicomweb_api(path):
    from monai_tunevlseg.monai_label.request_checks import check_proxied_path

    with pytest.raises(HTTPException) as error:
        check_proxied_path(path)
    assert error.value.status_code == 400
    check_proxied_path("studies/1.2.840.1/series/1.2/instances/1..2/frames/1")


def test_requests_without_a_result_are_refused(server):
    assert refused(requests.get(f"{server.url}/proxy/dicom/studies"))
    assert refused(requests.get(f"{server.url}/model/things"))
    assert refused(server.infer("things", ""))
    checksum = {"image": "picture0", "check_sum": "$x:1"}
    assert requests.head(f"{server.url}/datastore/image", params=checksum).status_code in (400, 404)
