from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from monai_tunevlseg.data.io.file_suffixes import SUFFIXES, stem_of, suffix_of


@given(st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1), st.sampled_from(SUFFIXES))
def test_stem_and_suffix_make_the_name(stem, suffix):
    path = Path("folder") / (stem + suffix)
    assert stem_of(path) + suffix_of(path) == path.name
    if not stem.strip("."):
        return  # pathlib takes a name of dots for one without suffix
    assert (stem_of(path), suffix_of(path)) == (stem, suffix)
