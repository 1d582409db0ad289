"""The datastore of a folder: its images and ids, its labels, and the choice of the next image."""

from __future__ import annotations

import json
import logging

import nibabel as nib
import numpy as np
import pytest
from label_fixtures import SIZE, circle_mask, draw_picture
from PIL import Image

pytest.importorskip("monailabel", reason="monailabel has an environment of its own: make test-label")

from monailabel.config import settings
from monailabel.interfaces.exception import MONAILabelException

from monai_tunevlseg.monai_label.active_learning import ScoreStrategy
from monai_tunevlseg.monai_label.datastore import FolderDatastore


@pytest.fixture(autouse=True)
def _unwatched(monkeypatch):
    monkeypatch.setattr(settings, "MONAI_LABEL_DATASTORE_AUTO_RELOAD", False)


@pytest.fixture
def studies(tmp_path):
    """Writes files and opens their folder."""

    def write(*names):
        for name in names:
            path = tmp_path / "studies" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if name.endswith(".nii.gz"):
                nib.save(nib.Nifti1Image(np.zeros(SIZE[::-1], np.uint8), np.eye(4)), path)
            else:
                draw_picture().save(path)
        return FolderDatastore(str(tmp_path / "studies"))

    return write


def save_mask(path, mask=None):
    Image.fromarray((circle_mask() if mask is None else mask).astype(np.uint8)).save(path)
    return str(path)


NAMES = ["UPPER.PNG", "photo.JPG", "second.jpeg", "third.tiff", "fourth.bmp", "patient1/inner.png", "p/q/deep.NII.gz"]


def test_every_supported_file_is_listed_in_subfolders_too(studies):
    names = [*(name for name in NAMES if not name.endswith(".gz")), "p/q/deep.nii.gz"]
    store = studies(*names)
    for name in names:
        image = name.removesuffix(".gz").rsplit(".", 1)[0]
        assert store.get_image_uri(image).endswith(f"studies/{name}")
    assert len(store.list_images()) == len(names)


def test_two_files_of_one_stem_are_two_images_for_good(studies, tmp_path):
    ids = {"same": "same.jpg", "same.png": "same.png"}
    for store in (studies("same.jpg", "same.png"), FolderDatastore(str(tmp_path / "studies"))):
        assert {image: store.get_image_uri(image).rsplit("/", 1)[1] for image in store.list_images()} == ids
        for image in ids:
            store.save_label(image, save_mask(tmp_path / "label.png"), "final", {})
    assert {(found.image.name, found.label.name) for found in store.submitted_labels()} == {
        ("same.jpg", "same.png"),
        ("same.png", "same.png.png"),
    }


def test_labels_of_subfolders_are_found_again(studies, tmp_path):
    studies("patient1/inner.png").save_label("patient1/inner", save_mask(tmp_path / "l.png"), "final", {"by": "me"})
    store = FolderDatastore(str(tmp_path / "studies"))
    (found,) = store.submitted_labels()
    assert (found.image.name, found.info["by"]) == ("inner.png", "me")
    np.testing.assert_array_equal(np.asarray(Image.open(found.label)), circle_mask())
    assert store.list_images() == ["patient1/inner"]  # labels are not studies


def test_a_label_of_another_form_replaces_the_one_before(studies, tmp_path):
    store = studies("a.png")
    store.save_label("a", save_mask(tmp_path / "label.png"), "final", {})
    nib.save(nib.Nifti1Image(circle_mask().T.astype(np.uint8), np.eye(4)), tmp_path / "label.nii.gz")
    store.save_label("a", str(tmp_path / "label.nii.gz"), "final", {})
    assert [path.name for path in (tmp_path / "studies" / "labels" / "final").iterdir()] == ["a.nii.gz"]


@pytest.mark.parametrize(
    ("suffix", "content", "named"),
    [(".png", b"no picture", "label.png"), (".json", b"{}", ".json"), (".svg", b"<svg/>", ".svg")],
)
def test_a_label_that_cannot_be_read_is_refused(studies, tmp_path, suffix, content, named):
    (tmp_path / f"label{suffix}").write_bytes(content)
    with pytest.raises(MONAILabelException) as caught:
        studies("a.png").save_label("a", str(tmp_path / f"label{suffix}"), "final", {})
    assert named in caught.value.msg


def test_a_label_of_another_size_is_refused(studies, tmp_path):
    with pytest.raises(MONAILabelException) as caught:
        studies("a.png").save_label("a", save_mask(tmp_path / "label.png", circle_mask().T), "final", {})
    assert str(SIZE) in caught.value.msg


def test_a_folder_without_studies_gives_a_warning(tmp_path, caplog):
    (tmp_path / "readme.txt").write_text("nothing")
    with caplog.at_level(logging.WARNING):
        assert FolderDatastore(str(tmp_path)).list_images() == []
    assert str(tmp_path) in caplog.text


def test_a_folder_that_is_not_writable_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="file/studies"):
        FolderDatastore(str(tmp_path / "file" / "studies"))


def test_the_setting_of_suffixes_is_kept(studies, monkeypatch):
    monkeypatch.setattr(settings, "MONAI_LABEL_DATASTORE_FILE_EXT", ["*.png"])
    assert set(studies("a.PNG", "b.jpg", "c/d.png").list_images()) == {"a", "c/d"}


class Certain:
    """A model whose entropy is a picture's number; files that are not pictures cannot be read."""

    name = "model"
    trained = True

    def check_usable(self):
        if not self.trained:
            raise ValueError(f"{self.name} is not trained.")

    def version(self):
        return "1"

    def entropy(self, image):
        if image.stem.startswith("broken"):
            raise ValueError(f"{image} cannot be read.")
        return float(image.stem[-1]) / 10


def test_files_that_cannot_be_read_are_never_offered(studies):
    store = studies(*(f"broken{number}.png" for number in range(4)), "good1.png", "good2.png")
    strategy = ScoreStrategy("entropy", {"model": Certain()})
    chosen = strategy({"max_samples": 1}, store)
    assert (chosen["id"], chosen["scored"]) == ("good1", 1)  # the broken ones before it do not use up the samples
    assert strategy({}, store)["id"] == "good2"
    store.remove_image("good1")
    store.remove_image("good2")
    assert strategy({}, store) is None
    json.dumps(store.json())


def test_a_model_that_cannot_segment_yet_chooses_no_image(studies):
    model, store = Certain(), studies("good1.png")
    model.trained = False
    with pytest.raises(ValueError, match="model is not trained"):
        ScoreStrategy("entropy", {"model": model})({}, store)
    assert "tunevlseg_entropy" not in store.get_image_info("good1")
