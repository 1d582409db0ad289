"""Every layout's tree is written in nnU-Net's raw format, and read back by the layout `folder`.

`check_integrity` has the rules of nnU-Net's `verify_dataset_integrity`, written apart from the package.
"""

from __future__ import annotations

import json
import re
import warnings

import multiclass_trees
import nibabel as nib
import nrrd
import numpy as np
import owners_trees
import pytest
import SimpleITK as sitk  # noqa: N813
from converted_datasets import assert_equal, convert, loaded, read
from PIL import Image

from monai_tunevlseg.data import LAYOUTS, DatasetSpec, build_datalists
from monai_tunevlseg.data.dataset_conversion import convert_dataset
from monai_tunevlseg.data.io.reading import read_image

pytestmark = pytest.mark.filterwarnings("ignore:no image of train or val")
WRITERS = owners_trees.WRITERS | multiclass_trees.WRITERS
FORMS = {name: (name, writer) for name, writer in WRITERS.items()} | owners_trees.FORMS
NAME = "Dataset501_Test"
STEMS = ("a", "b", "c", "d")
SPLITS = {"train": ["b", "a"], "val": ["c"], "test": ["d"]}


def read_pixels(path):
    """As nnU-Net reads them: (channels, ...) of an image or label map."""
    pixels = (
        sitk.GetArrayFromImage(sitk.ReadImage(path)) if path.name.endswith(".nii.gz") else np.asarray(Image.open(path))
    )
    return np.moveaxis(pixels, -1, 0) if path.suffix == ".png" and pixels.ndim == 3 else pixels[None]


def check_integrity(folder):
    content = json.loads((folder / "dataset.json").read_text())
    values, ending = list(content["labels"].values()), content["file_ending"]
    assert values == list(range(len(values))) and content["labels"]["background"] == 0
    assert content["labels"].get("ignore", values[-1]) == values[-1]
    assert len(list((folder / "imagesTr").iterdir())) == content["numTraining"]
    for part in ("Tr", "Ts"):
        images = {path.name: path for path in (folder / f"images{part}").iterdir()}
        labels = {path.name: path for path in (folder / f"labels{part}").iterdir()}
        assert set(images) == {f"{name.removesuffix(ending)}_0000{ending}" for name in labels}
        for name, path in labels.items():
            image, label = read_pixels(images[f"{name.removesuffix(ending)}_0000{ending}"]), read_pixels(path)
            assert image.shape == (len(content["channel_names"]), *label.shape[1:])
            assert set(np.unique(label)) <= set(values)
    (fold,) = json.loads((folder / "splits_final.json").read_text())
    training = {path.name.removesuffix(ending) for path in (folder / "labelsTr").iterdir()}
    assert set(fold["train"]) | set(fold["val"]) == training
    return content


@pytest.fixture
def folder(tmp_path, save):
    """Returns a folder of four images with these pixels and masks, where they are given, and fixed splits."""

    def write(images=None, masks=None, suffixes=None):
        rng = np.random.default_rng(0)
        for number, stem in enumerate(STEMS):
            image, mask = rng.integers(0, 256, (6, 8), dtype=np.uint8), np.zeros((6, 8), np.uint8)
            mask[number : number + 2, 2:5] = 1
            of_image, of_mask = (suffixes or {}).get(stem, (".png", ".png"))
            save(tmp_path / "data" / "images" / f"{stem}{of_image}", (images or {}).get(stem, image))
            save(tmp_path / "data" / "masks" / f"{stem}{of_mask}", (masks or {}).get(stem, mask))
        (tmp_path / "data" / "splits.json").write_text(json.dumps(SPLITS))
        return tmp_path / "data"

    return write


def write_nnunet(tmp_path, data, class_names=("polyp",), **arguments):
    return convert_dataset(DatasetSpec(data, class_names, **arguments), tmp_path / NAME, "nnunet")


@pytest.mark.parametrize("form", sorted(FORMS))
def test_the_layout_folder_reads_the_same_masks(tmp_path, form):
    """Of datasets with several classes, all but empty masks, which a label map cannot hold for one class alone."""
    name, writer = FORMS[form]
    (tmp_path / "data").mkdir()
    writer(tmp_path / "data")
    chosen = {"class_names": ["enlarged cardiomediastinum"]} if name == "chexlocalize" else {}
    written = convert(name, tmp_path / "data", tmp_path / NAME, "nnunet", **chosen)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = loaded(build_datalists(DatasetSpec(tmp_path / NAME, written.class_names)))
    given = read(name, tmp_path / "data", **chosen)
    assert written.pairs == len(given)
    if len(written.class_names) > 1:
        given = {key: mask for key, mask in given.items() if (mask == 1).any()}
    assert_equal(given, found)
    check_integrity(tmp_path / NAME)


@pytest.mark.parametrize(
    ("name", "labels", "channels", "ending"),
    [
        ("kvasir", {"background": 0, "polyp": 1}, {"0": "R", "1": "G", "2": "B"}, ".png"),
        ("busi", {"background": 0, "benign tumor": 1, "malignant tumor": 2}, {"0": "R", "1": "G", "2": "B"}, ".png"),
        ("camus", None, {"0": "ultrasound"}, ".nii.gz"),
        ("pascal_voc", None, {"0": "R", "1": "G", "2": "B"}, ".png"),
    ],
)
def test_descriptions(tmp_path, name, labels, channels, ending):
    (tmp_path / "data").mkdir()
    WRITERS[name](tmp_path / "data")
    written = convert(name, tmp_path / "data", tmp_path / NAME, "nnunet")
    content = check_integrity(written.folder)
    ignore = ["ignore"] if name == "pascal_voc" else []
    names = ["background", *LAYOUTS[name].info.class_names, *ignore]
    assert content["labels"] == (labels or {label: value for value, label in enumerate(names)})
    assert (content["channel_names"], content["file_ending"]) == (channels, ending)
    assert (content["name"], content["reference"]) == (LAYOUTS[name].info.title, LAYOUTS[name].info.source)
    assert written.class_names == LAYOUTS[name].info.class_names


def test_splits_are_those_that_were_given(tmp_path, folder):
    written = write_nnunet(tmp_path, folder())
    assert json.loads((written.folder / "splits_final.json").read_text()) == [{"train": ["b", "a"], "val": ["c"]}]
    names = {part: sorted(path.name for path in (written.folder / part).iterdir()) for part in ("labelsTr", "imagesTs")}
    assert names == {"labelsTr": ["a.png", "b.png", "c.png"], "imagesTs": ["d_0000.png"]}
    assert written.images == 4
    assert [line.split()[0] for line in written.usage[1:]] == [
        "nnUNetv2_plan_and_preprocess",
        "nnUNetv2_train",
        "nnUNetv2_predict",
    ]
    assert written.usage[0].endswith(str(tmp_path)) and "-d 501" in written.usage[1]


@pytest.mark.filterwarnings("ignore:the splits")
def test_an_image_of_two_splits_is_written_to_both(tmp_path, folder):
    data = folder()
    (data / "splits.json").write_text(json.dumps({"train": ["a", "b"], "val": ["c"], "test": ["b", "d"]}))
    written = write_nnunet(tmp_path, data)
    assert sorted(path.name for path in (written.folder / "labelsTs").iterdir()) == ["b.png", "d.png"]
    assert_equal(read("folder", data), read("folder", written.folder))


def test_classes_that_overlap_are_named_and_nothing_is_left(tmp_path):
    (tmp_path / "data").mkdir()
    multiclass_trees.write_chexlocalize(tmp_path / "data")
    with pytest.raises(ValueError, match=r"\.jpg \('(\w| )+', '(\w| )+'") as caught:
        convert("chexlocalize", tmp_path / "data", tmp_path / NAME, "nnunet")
    shown = set(re.findall("'([^']+)'", str(caught.value)))
    assert len(shown) > 1 and shown <= set(LAYOUTS["chexlocalize"].info.class_names)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_kinds_are_not_mixed(tmp_path, folder, save):
    volume = {"d": np.zeros((6, 8, 3), np.uint8)}
    mask = {"d": np.ones((6, 8, 3), np.uint8)}
    data = folder(volume, mask, {"d": (".nii.gz", ".nii.gz")})
    with pytest.raises(ValueError, match=r"a\.png.*d\.nii\.gz"):
        write_nnunet(tmp_path, data)
    for stem in STEMS[:3]:
        for part in ("images", "masks"):
            pixels = np.asarray(Image.open(data / part / f"{stem}.png"))
            (data / part / f"{stem}.png").unlink()
            save(data / part / f"{stem}.nii", pixels)
    with pytest.raises(ValueError, match=r"a\.nii.*d\.nii\.gz"):
        write_nnunet(tmp_path, data)


@pytest.mark.parametrize("colored", [(), ("d",)])
def test_pictures_are_gray_unless_one_has_colors(tmp_path, folder, colored):
    rng = np.random.default_rng(1)
    data = folder({stem: rng.integers(0, 256, (6, 8, 3), dtype=np.uint8) for stem in colored})
    written = write_nnunet(tmp_path, data)
    assert check_integrity(written.folder)["channel_names"] == (
        {"0": "R", "1": "G", "2": "B"} if colored else {"0": "image"}
    )
    assert_equal(read("folder", data), read("folder", written.folder))


def test_volumes_keep_voxels_and_geometry(tmp_path, folder):
    """NIfTI, compressed and not, MetaImage and NRRD, with two classes."""
    rng = np.random.default_rng(2)
    labels = np.zeros((6, 8, 5), np.uint8)
    labels[1:3, 2:5, 1:3], labels[4, 2:5, 2] = 1, 2
    voxels = {stem: rng.integers(-1000, 400, (6, 8, 5)).astype(np.int16) for stem in STEMS}
    suffixes = dict.fromkeys(STEMS, (".nii.gz", ".nii")) | {"b": (".nii", ".nii.gz")}
    data = folder(voxels, dict.fromkeys(STEMS, labels), suffixes)
    (data / "images" / "c.nii.gz").unlink()
    image = sitk.GetImageFromArray(voxels["c"].transpose(2, 1, 0))
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((-10, -20, -30))
    sitk.WriteImage(image, data / "images" / "c.mhd")
    (data / "images" / "d.nii.gz").unlink()
    geometry = {"space": "left-posterior-superior", "space origin": [-10, -20, -30], "kinds": ["domain"] * 3}
    geometry["space directions"] = np.diag([0.7, 0.8, 2.5])
    nrrd.write(str(data / "images" / "d.nrrd"), voxels["d"], geometry)
    written = write_nnunet(tmp_path, data, ("liver", "tumor"))
    assert check_integrity(written.folder)["file_ending"] == ".nii.gz"
    assert "3d_fullres" in written.usage[2]
    for stem in STEMS:
        part = "Ts" if stem == "d" else "Tr"
        image = nib.load(written.folder / f"images{part}" / f"{stem}_0000.nii.gz")
        label = nib.load(written.folder / f"labels{part}" / f"{stem}.nii.gz")
        np.testing.assert_array_equal(image.dataobj, voxels[stem])
        np.testing.assert_array_equal(label.dataobj, labels)
        np.testing.assert_allclose(image.affine, label.affine)
        np.testing.assert_allclose(
            np.abs(image.affine[:3]), [[0.7, 0, 0, 10], [0, 0.8, 0, 20], [0, 0, 2.5, 30]], atol=1e-6
        )
    arguments = {"class_names": ["liver", "tumor"]}
    assert_equal(read("folder", data, **arguments), read("folder", written.folder, **arguments))


def test_ignored_voxels_have_the_last_value(tmp_path, folder):
    labels = np.zeros((6, 8, 5), np.uint8)
    labels[1:3, 2:5, 1:3], labels[4, 2:5, 2] = 1, 9
    rng = np.random.default_rng(3)
    voxels = {stem: rng.normal(size=(6, 8, 5)).astype(np.float32) for stem in STEMS}
    data = folder(voxels, dict.fromkeys(STEMS, labels), dict.fromkeys(STEMS, (".nii", ".nii")))
    (data / "dataset.json").write_text(json.dumps({"class_names": ["polyp"], "ignore_value": 9}))
    written = write_nnunet(tmp_path, data)
    assert check_integrity(written.folder)["labels"] == {"background": 0, "polyp": 1, "ignore": 2}
    assert_equal(read("folder", data), read("folder", written.folder))


def test_an_intensity_window_is_for_pictures_of_nnunet(tmp_path, folder):
    deep = {stem: np.arange(48, dtype=np.uint16).reshape(6, 8) * 80 for stem in STEMS}
    data = folder(deep)
    written = write_nnunet(tmp_path, data, intensity_window=(0, 4095))
    image = read_image(written.folder / "imagesTs" / "d_0000.png")
    np.testing.assert_allclose(image[..., 0], deep["d"] / 4095, atol=1e-5)
    with pytest.raises(ValueError, match=r"\[0, 4095\].*'folder'"):
        convert("folder", data, tmp_path / "out", intensity_window=[0, 4095])
    for stem in STEMS:
        for part in ("images", "masks"):
            (data / part / f"{stem}.png").unlink()
            nib.save(nib.Nifti1Image(np.ones((6, 8), np.uint8), np.eye(4)), data / part / f"{stem}.nii")
    with pytest.raises(ValueError, match=r"\[0, 4095\].*volume files"):
        convert("folder", data, tmp_path / "Dataset502_X", "nnunet", intensity_window=[0, 4095])


def test_names_that_nnunet_does_not_take(tmp_path, folder):
    data = folder()
    for name in ("Kvasir", "Dataset12_Kvasir", "Dataset501", "Dataset0501_Kvasir"):
        with pytest.raises(ValueError, match=rf"'{name}'"):
            convert("folder", data, tmp_path / name, "nnunet")
    for name in ("background", "ignore"):
        with pytest.raises(ValueError, match=f"'{name}'"):
            write_nnunet(tmp_path, data, [name])
    names = [f"class {number}" for number in range(256)]
    with warnings.catch_warnings(), pytest.raises(ValueError, match="256"):
        warnings.simplefilter("ignore")
        write_nnunet(tmp_path, data, names)


def test_volumes_with_colors_are_refused(tmp_path, folder):
    colors = {"b": np.zeros((6, 8, 5, 3), np.uint8)}
    gray = dict.fromkeys(STEMS, np.zeros((6, 8, 5), np.uint8))
    mask = np.zeros((6, 8, 5), np.uint8)
    mask[2] = 1
    data = folder(gray | colors, dict.fromkeys(STEMS, mask), dict.fromkeys(STEMS, (".nii", ".nii")))
    with pytest.raises(ValueError, match=r"b\.nii"):
        write_nnunet(tmp_path, data)
    assert not (tmp_path / NAME).exists()


def test_a_class_that_only_the_test_images_show_gives_a_warning(tmp_path, folder):
    masks = {stem: np.full((6, 8), 2 if stem == "d" else 1, np.uint8) for stem in STEMS}
    with pytest.warns(UserWarning, match="'b'"):
        written = write_nnunet(tmp_path, folder(masks=masks), ["a", "b"])
    assert check_integrity(written.folder)["labels"] == {"background": 0, "a": 1, "b": 2}


def test_a_value_that_no_mask_holds_is_refused(tmp_path, folder):
    with pytest.raises(ValueError, match="7"):
        write_nnunet(tmp_path, folder(), label_values={"polyp": 7})
