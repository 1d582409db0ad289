"""NRRD files as 3D Slicer and other programs write them."""

from __future__ import annotations

import itertools

import nrrd
import numpy as np
import pytest
from binary_masks import read_mask

from monai_tunevlseg.data.io.file_suffixes import stem_of, suffix_of
from monai_tunevlseg.data.io.reading import read_shape
from monai_tunevlseg.data.io.volumes import read_volume_mask, stored_affine

VOLUME = np.random.default_rng(0).integers(0, 3, (6, 7, 5)).astype(np.uint8)
SIGNS = {
    "left-posterior-superior": (-1, -1, 1),
    "RAS": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "LPS": (-1, -1, 1),
}


def header(space="left-posterior-superior", **more):
    return {
        "space": space,
        "space directions": np.diag([0.7, 0.8, 2.5]),
        "space origin": np.array([1.0, 2, 3]),
        "kinds": ["domain"] * 3,
        **more,
    }


@pytest.mark.parametrize("space", SIGNS)
@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2"])
@pytest.mark.parametrize("endian", ["little", "big"])
def test_space_and_encoding(tmp_path, space, encoding, endian):
    values = VOLUME.astype(">i2" if endian == "big" else "<i2")
    nrrd.write(str(tmp_path / "a.nrrd"), values, header(space, encoding=encoding, endian=endian))
    signs = SIGNS[space]
    expected = np.diag([*signs, 1]) @ [[0.7, 0, 0, 1], [0, 0.8, 0, 2], [0, 0, 2.5, 3], [0, 0, 0, 1]]
    np.testing.assert_allclose(stored_affine(tmp_path / "a.nrrd"), expected)
    # rows run to posterior and columns to the left
    flips = [axis for axis, sign in enumerate((signs[2], signs[1], signs[0])) if sign > 0]
    np.testing.assert_array_equal(
        read_volume_mask(tmp_path / "a.nrrd").values, np.flip(VOLUME.transpose(2, 1, 0), flips)
    )


def test_axes_are_permuted_by_their_directions(tmp_path):
    directions = np.array([[0, 0, 1.0], [1, 0, 0], [0, 1, 0]])  # superior, left, posterior
    nrrd.write(str(tmp_path / "a.nrrd"), VOLUME, header(**{"space directions": directions}))
    np.testing.assert_array_equal(read_volume_mask(tmp_path / "a.nrrd").values, VOLUME.transpose(0, 2, 1)[::-1])


@pytest.mark.parametrize("more", [{"space": "scanner-xyz"}, {}])
def test_a_space_other_than_the_patients_is_taken_for_lps(tmp_path, more):
    nrrd.write(str(tmp_path / "a.nrrd"), VOLUME, more and header(**more))
    np.testing.assert_array_equal(read_volume_mask(tmp_path / "a.nrrd").values, VOLUME.transpose(2, 1, 0)[::-1])


def test_segmentation_of_one_layer_is_a_label_map(tmp_path):
    path = tmp_path / "case.1.seg.nrrd"
    nrrd.write(str(path), VOLUME, header(Segment0_ID="a", Segment0_LabelValue="2", Segment0_Layer="0"))
    assert (stem_of(path), suffix_of(path)) == ("case.1", ".seg.nrrd")
    np.testing.assert_array_equal(read_mask(path, 2), VOLUME.transpose(2, 1, 0)[::-1] == 2)


def test_segmentation_of_several_layers_is_refused(tmp_path):
    path = tmp_path / "a.seg.nrrd"
    directions = np.vstack([np.full(3, np.nan), np.diag([1.0, 1, 1])])
    layers = header(kinds=["list", "domain", "domain", "domain"], Segment0_Layer="1")
    nrrd.write(str(path), np.stack([VOLUME, VOLUME]), layers | {"space directions": directions})
    with pytest.raises(ValueError, match=r"a\.seg\.nrrd.* 2 layers"):
        read_shape(path)


@pytest.mark.parametrize(
    ("line", "other", "reason"),
    [
        ("type: uint8", "type: block", "block"),
        ("type: uint8\n", "", r"\btype\b"),
        ("sizes: 6 7 5", "sizes: 6 7", r"\(6, 7\).* 3"),
        ("sizes: 6 7 5", "sizes: 60000 70000 50000", "210000000000000"),
        ("encoding: raw", "encoding: raw\ndata file: ../../secret.raw", "data file"),
        ("encoding: raw", "encoding: raw\nbyte skip: 7", "byte skip"),
        ("encoding: raw", "encoding: ascii", "encoding ascii"),
        ("NRRD000", "NOTRRD0", "NRRD"),
        ("dimension: 3", "dimension: 3\nnonsense", "."),
    ],
)
def test_wrong_or_unsupported_headers_are_named(tmp_path, line, other, reason):
    path = tmp_path / "a.nrrd"
    nrrd.write(str(path), VOLUME, header(encoding="raw"))
    content = path.read_bytes()
    assert line.encode() in content
    path.write_bytes(content.replace(line.encode(), other.encode(), 1))
    with pytest.raises(ValueError, match=rf"a\.nrrd.*{reason}"):
        read_volume_mask(path)


@pytest.mark.parametrize(
    "content", [b"", b"NRRD0004\n", b"NRRD0004\ntype: uint8\n\n", b"\x00" * 3000, b"NRRD\n" * 300_000]
)
def test_foreign_content_is_named(tmp_path, content):
    (tmp_path / "a.nrrd").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.nrrd"):
        read_shape(tmp_path / "a.nrrd")
    with pytest.raises(FileNotFoundError, match=r"missing\.nrrd"):
        read_shape(tmp_path / "missing.nrrd")


@pytest.mark.parametrize(
    ("encoding", "change"),
    [*itertools.product(["gzip", "bzip2", "raw"], [-1, -20]), ("gzip", "flip"), ("bzip2", "flip")],
)  # raw voxels have no checksum
def test_damaged_voxels_are_named(tmp_path, encoding, change):
    path = tmp_path / "a.nrrd"
    nrrd.write(str(path), VOLUME, header(encoding=encoding))
    content = bytearray(path.read_bytes())
    if change == "flip":
        content[-30] ^= 8
    path.write_bytes(content if change == "flip" else content[:change])
    with pytest.raises(ValueError, match=r"a\.nrrd"):
        read_volume_mask(path, 1)
