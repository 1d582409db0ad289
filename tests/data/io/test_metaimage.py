from __future__ import annotations

import re
import zlib

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import torch
from binary_masks import read_mask
from monai.data import MetaTensor

from monai_tunevlseg.data import DatasetSpec, LoadImageMaskd, SavePredictiond, build_datalists, build_inference_datalist
from monai_tunevlseg.data.io.metaimage import load_metaimage
from monai_tunevlseg.data.io.reading import read_image, read_shape
from monai_tunevlseg.data.io.volumes import (
    read_volume,
    read_volume_mask,
    stored_affine,
    stored_order,
    stored_shape,
    upright_shape,
)


def write(path, values, compressed=False):
    """Write (X, Y) or (X, Y, Z) with SimpleITK, like the files of CAMUS."""
    image = sitk.GetImageFromArray(values.T)
    image.SetSpacing((0.3, 0.15, 1.5)[: values.ndim])
    image.SetOrigin((4.0, -5.0, 6.0)[: values.ndim])
    if values.ndim == 3:
        image.SetDirection((0, -1, 0, 1, 0, 0, 0, 0, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path), compressed)
    return path


@pytest.mark.parametrize("compressed", [False, True], ids=["raw", "zraw"])
@pytest.mark.parametrize("shape", [(7, 5), (7, 5, 1), (7, 5, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.float32])
def test_same_as_the_nifti_file_of_the_same_image(tmp_path, shape, dtype, compressed):
    values = np.random.default_rng(0).integers(0, 99, shape).astype(dtype)
    meta, nifti = write(tmp_path / "a.mhd", values, compressed), write(tmp_path / "a.nii.gz", values)
    assert (tmp_path / f"a.{'zraw' if compressed else 'raw'}").is_file()
    assert upright_shape(meta) == upright_shape(nifti) == read_shape(meta)
    assert stored_shape(meta) == shape
    np.testing.assert_array_equal(stored_order(read_volume_mask(meta).values, meta), values)
    np.testing.assert_array_equal(read_volume_mask(meta).values, read_volume_mask(nifti).values)
    np.testing.assert_array_equal(read_volume(meta), read_volume(nifti))
    np.testing.assert_allclose(stored_affine(meta), nib.load(nifti).affine, atol=1e-5)
    if shape[2:] == (3,):
        np.testing.assert_array_equal(read_image(meta, 2), read_image(nifti, 2))
        # the first axis points to posterior and the second to the right, so the last slice, the top one, is flipped
        expected = values[:, ::-1, -1] == values[0, 0, -1]
        np.testing.assert_array_equal(read_mask(meta, int(values[0, 0, -1]), None, 0), expected)


def test_folder_of_metaimages_and_back(tmp_path):
    rng = np.random.default_rng(0)
    mask = np.zeros((6, 5, 2), np.uint8)
    mask[2:4, 1:3, 1] = 1
    for stem in "abc":
        write(tmp_path / "images" / f"{stem}.mhd", rng.integers(0, 99, mask.shape).astype(np.uint8))
        write(tmp_path / "masks" / f"{stem}.mhd", mask, compressed=True)
    sample = build_datalists(DatasetSpec(tmp_path, ["cavity"]))["train"][0]
    np.testing.assert_array_equal(LoadImageMaskd()(sample)["label"][0].numpy(), mask[:, ::-1, 1])
    assert [len(item["image"]) for item in build_inference_datalist(tmp_path)] == [len(sample["image"])] * 3
    item = LoadImageMaskd(with_label=False)({"image": sample["image"]})
    item["pred"] = MetaTensor(torch.from_numpy(read_mask(tmp_path / "masks" / "a.mhd").astype(np.uint8)[None]))
    SavePredictiond(output_dir=tmp_path / "out")(item)
    (saved,) = (tmp_path / "out" / "masks").iterdir()
    assert saved.name.endswith(".nii.gz")
    np.testing.assert_array_equal(np.asarray(nib.load(saved).dataobj), mask)
    np.testing.assert_allclose(nib.load(saved).affine, stored_affine(tmp_path / "images" / "a.mhd"), atol=1e-6)


def test_pixels_without_their_header_are_not_an_image(tmp_path):
    write(tmp_path / "a.mhd", np.zeros((3, 4), np.uint8))
    (tmp_path / "b.raw").write_bytes(b"")
    with pytest.raises(ValueError, match=r"\bb\.raw"):
        build_inference_datalist(tmp_path)


@pytest.mark.parametrize("compressed", [False, True], ids=["raw", "zraw"])
@pytest.mark.parametrize("kept", [0, 5, -1, -4, "more"])
def test_too_few_or_too_many_pixels_are_named(tmp_path, compressed, kept):
    values = np.random.default_rng(0).integers(0, 99, (70, 50)).astype(np.uint8)
    path = write(tmp_path / "a.mhd", values, compressed)
    pixels = path.with_suffix(".zraw" if compressed else ".raw")
    content = pixels.read_bytes()
    pixels.write_bytes(content[:kept] if kept != "more" else zlib.compress(bytes(3501)) if compressed else bytes(3501))
    with pytest.raises(ValueError, match=r"a\.mhd.*\.z?raw"):
        read_volume(path)


def test_missing_pixels_are_named(tmp_path):
    path = write(tmp_path / "a.mhd", np.zeros((3, 4), np.uint8))
    path.with_suffix(".raw").unlink()
    with pytest.raises(FileNotFoundError, match=r"a\.raw.*a\.mhd"):
        read_volume(path)


def test_damaged_compressed_pixels_are_named(tmp_path):
    values = np.random.default_rng(0).integers(0, 99, (70, 50)).astype(np.uint8)
    path = write(tmp_path / "a.mhd", values, compressed=True)
    content = path.with_suffix(".zraw").read_bytes()
    for place in range(0, len(content), 97):
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        path.with_suffix(".zraw").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"a\.mhd"):
            read_volume_mask(path)


@pytest.mark.parametrize(
    ("line", "other", "reason"),
    [
        ("DimSize = 3 4", "DimSize = 3 -4", "its size is 3 -4 in 2 dimensions"),
        ("DimSize = 3 4", "DimSize = 3 4 1", "its size is 3 4 1 in 2 dimensions"),
        ("DimSize = 3 4", "DimSize = 3 x", "invalid literal"),
        ("DimSize = 3 4", "DimSize = 300000000 400000000000", r"\b120+\b"),
        ("DimSize = 3 4", "", "DimSize"),
        ("MET_UCHAR", "MET_STRING", "MET_STRING"),
        ("BinaryData = True", "BinaryData = False", "BinaryData.*False"),
        ("NDims", "ElementNumberOfChannels = 3\nNDims", "ElementNumberOfChannels.*3"),
        ("a.raw", "../a.raw", r" \.\./a\.raw"),
        ("a.raw", "/a.raw", r" /a\.raw"),
        ("a.raw", "LOCAL", " LOCAL"),
        ("a.raw", "LIST 2", " LIST 2"),
        ("Offset = 4 -5", "Offset = 4", r"Offset.* 4\b(?! nan).* 2\b"),
        ("Offset = 4 -5", "Offset = 4 nan", "Offset.* 4 nan.* 2"),
    ],
)
def test_wrong_or_unsupported_headers_are_named(tmp_path, line, other, reason):
    path = write(tmp_path / "a.mhd", np.zeros((3, 4), np.uint8))
    content = path.read_text()
    assert line in content
    path.write_text(content.replace(line, other))
    with pytest.raises(ValueError, match=rf"a\.mhd.*{reason}"):
        load_metaimage(path)


def test_the_other_byte_order(tmp_path):
    values = np.arange(12, dtype=np.int16).reshape(3, 4)
    path = write(tmp_path / "a.mhd", values)
    path.write_text(re.sub("(ByteOrderMSB) = False", r"\1 = True", path.read_text()))
    path.with_suffix(".raw").write_bytes(values.T.astype(">i2").tobytes())
    np.testing.assert_array_equal(read_volume_mask(path).values, values.T)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))).T, values)


@pytest.mark.parametrize("content", ["", "no image" * 20, "=" * 70_000])
def test_foreign_content_and_missing_file_are_named(tmp_path, content):
    (tmp_path / "a.mhd").write_text(content)
    with pytest.raises(ValueError, match=r"a\.mhd"):
        upright_shape(tmp_path / "a.mhd")
    with pytest.raises(FileNotFoundError, match=r"b\.mhd"):
        upright_shape(tmp_path / "b.mhd")
