from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from binary_masks import read_mask

from monai_tunevlseg.data.io.reading import read_image, read_shape


@pytest.mark.parametrize("read", [read_image, read_mask, read_shape])
def test_unsupported_suffix_is_refused(read):
    with pytest.raises(ValueError, match=r"a\.webp.* \.png, .*\.nii\.gz"):
        read(Path("a.webp"))


def test_picture_has_no_slices(tmp_path, save):
    path = save(tmp_path / "a.png", np.zeros((3, 4), np.uint8))
    for read in (read_image, read_mask):
        with pytest.raises(ValueError, match=r"a\.png.* slice 0"):
            read(path, slice_index=0)


def test_nifti_is_read_as_rgb_and_as_mask(tmp_path, save, as_read):
    values = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    path = save(tmp_path / "a.nii.gz", values)
    assert read_shape(path) == (5, 4, 3)
    assert read_image(path).shape == (5, 4, 3, 3)
    assert read_image(path, 2, 0).shape == (5, 4, 3)
    np.testing.assert_array_equal(
        read_mask(path, mask_threshold=30, slice_index=1, slice_axis=1), as_read(values)[:, 1] >= 30
    )
