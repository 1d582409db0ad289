"""Loading a published SAM 3 from a folder: forms, settings, and the errors that it does not share with CLIPSeg."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from monai_tunevlseg.networks import load_sam3

every_form = pytest.mark.parametrize("form", ["tiny_sam3_dir", "tiny_sam3_lite_dir", "published_sam3_dir"])


@every_form
def test_every_form_is_loaded_whole(form, request):
    folder = request.getfixturevalue(form)
    base = load_sam3(folder)
    stored = {name.removeprefix("detector_model."): w for name, w in load_file(folder / "model.safetensors").items()}
    loaded = base.model.state_dict()
    assert set(loaded) == {name for name in stored if not name.startswith("tracker_")}
    assert all(torch.equal(weight, stored[name]) for name, weight in loaded.items())
    assert (base.image_size, base.image_mean, base.image_std) == (32, [0.5] * 3, [0.5] * 3)
    assert not base.model.training
    assert base.tokenizer("polyp")["input_ids"][0] == base.tokenizer.bos_token_id
