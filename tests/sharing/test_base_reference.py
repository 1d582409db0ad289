"""References to base models are portable, also for VLSMs without an embedded model."""

import pytest

from monai_tunevlseg.networks import VLSMS, PromptTunedCLIPSeg, load_clipseg
from monai_tunevlseg.sharing.base_reference import find_base_reference


def test_a_vlsm_without_an_embedded_model_is_referred_to_by_its_hub_id(tiny_clipseg_dir):
    with VLSMS.temporarily("other", PromptTunedCLIPSeg):
        reference = find_base_reference("other", "owner/other", folder=tiny_clipseg_dir)
    assert (reference.id, reference.folder, reference.embedded) == ("owner/other", str(tiny_clipseg_dir), False)
    assert reference.values == {
        "pretrained": "owner/other",
        "base_fingerprint": load_clipseg(tiny_clipseg_dir).fingerprint,
    }


def test_a_folder_without_a_public_id_is_named(tiny_clipseg_dir):
    identity = {
        "base_model": str(tiny_clipseg_dir),
        "base_fingerprint": load_clipseg(tiny_clipseg_dir).fingerprint,
    }
    with pytest.raises(ValueError, match=rf"{tiny_clipseg_dir}.*{identity['base_fingerprint']}.*--base-model-id"):
        find_base_reference("clipseg", "$demo.demo_model('clipseg')", identity)
    assert find_base_reference("clipseg", "owner/other", identity).id == "owner/other"
