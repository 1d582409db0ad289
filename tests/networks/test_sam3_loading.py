"""Loading a published SAM 3 from a folder: its forms and settings, and the errors that only a SAM 3 has."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from monai_tunevlseg.networks import BaseModel, load_sam3

every_form = pytest.mark.parametrize("form", ["tiny_sam3_dir", "tiny_sam3_lite_dir", "published_sam3_dir"])
VIT = "vision_config.backbone_config"
FUSION = ("detr_encoder_config", "detr_decoder_config", "mask_decoder_config")


@pytest.fixture
def folder(form, request, tmp_path) -> Path:
    """A copy of a tiny SAM 3, to be changed."""
    return shutil.copytree(request.getfixturevalue(form), tmp_path / "base")


def change_config(folder: Path, part: str, **entries) -> None:
    """Change entries of a part of a configuration, such as ``vision_config.backbone_config``; an empty name is all."""
    file = folder / "config.json"
    config = json.loads(file.read_text())
    place = config
    for name in filter(None, part.split(".")):
        place = place[name]
    place.update(entries)
    file.write_text(json.dumps(config))


@torch.no_grad()
def outputs(model: Any, tokenizer: Any) -> torch.Tensor:
    """Return semantic logits and presence of transformers' own forward pass for one image and one text."""
    image = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    tokens = tokenizer(["red polyp"], padding="max_length", max_length=32, return_tensors="pt")
    output = model(pixel_values=image, input_ids=tokens.input_ids, attention_mask=tokens.attention_mask)
    return torch.cat([output.semantic_seg.flatten(), output.presence_logits.flatten()])


def outputs_of(base: BaseModel) -> torch.Tensor:
    return outputs(base.model, base.tokenizer)


@every_form
def test_every_form_is_loaded_whole(form, request):
    folder = request.getfixturevalue(form)
    base = load_sam3(folder)
    stored = {name.removeprefix("detector_model."): w for name, w in load_file(folder / "model.safetensors").items()}
    stored = {name: weight for name, weight in stored.items() if not name.startswith("tracker_")}
    reference = type(base.model)(base.model.config).eval()
    reference.load_state_dict(stored)
    assert set(base.model.state_dict()) == set(stored)
    assert torch.allclose(outputs_of(base), outputs(reference, base.tokenizer), atol=1e-6)
    assert type(base.model).__name__ == ("Sam3LiteTextModel" if "lite" in form else "Sam3Model")
    assert (base.image_size, base.image_mean, base.image_std) == (32, [0.5] * 3, [0.5] * 3)
    assert base.tokenizer("polyp")["input_ids"][0] == base.tokenizer.bos_token_id
    parts = {module.config._attn_implementation for module in base.model.modules() if hasattr(module, "config")}
    assert parts == {"sdpa"}


def test_the_published_form_is_the_same_model(tiny_sam3_dir, published_sam3_dir):
    published = load_sam3(published_sam3_dir)
    assert published.fingerprint == load_sam3(tiny_sam3_dir).fingerprint
    assert published.model.config.model_type == "sam3"


@every_form
def test_half_precision_on_disk_becomes_float32(form, folder):
    weights = load_file(folder / "model.safetensors")
    half = {name: weight.bfloat16() if weight.is_floating_point() else weight for name, weight in weights.items()}
    save_file(half, folder / "model.safetensors", metadata={"format": "pt"})
    detector = "detector_config" if form == "published_sam3_dir" else ""
    change_config(folder, detector, dtype="bfloat16")
    change_config(folder, f"{detector}.vision_config", dtype="bfloat16")
    assert {parameter.dtype for parameter in load_sam3(folder).model.parameters()} == {torch.float32}


@every_form
def test_without_a_processor_file_the_published_normalization_is_used(form, folder, caplog):
    (folder / "processor_config.json").unlink()
    base = load_sam3(folder)
    assert (base.image_size, base.image_mean, base.image_std) == (32, [0.5] * 3, [0.5] * 3)
    assert "processor_config.json" in caplog.text
    assert base.fingerprint == load_sam3(folder).fingerprint


def test_the_image_size_of_the_processor_wins(tiny_sam3_dir, tmp_path):
    folder = shutil.copytree(tiny_sam3_dir, tmp_path / "base")
    change_config(folder, VIT, image_size=16)
    assert load_sam3(folder).image_size == 32


@pytest.mark.parametrize(
    ("form", "part", "entry", "value"),
    [
        *(("tiny_sam3_dir", VIT, *change) for change in [("num_attention_heads", 4), ("hidden_act", "relu")]),
        *(("tiny_sam3_dir", VIT, *change) for change in [("layer_norm_eps", 1e-2), ("window_size", 3)]),
        ("tiny_sam3_dir", VIT, "global_attn_indexes", [0, 3]),
        ("tiny_sam3_dir", VIT, "global_attn_indexes", []),
        ("tiny_sam3_dir", VIT, "rope_parameters", {"rope_type": "axial", "rope_theta": 10.0}),
        *((form, "text_config", "hidden_act", "relu") for form in ("tiny_sam3_dir", "tiny_sam3_lite_dir")),
        *((form, "text_config", "layer_norm_eps", 1e-2) for form in ("tiny_sam3_dir", "tiny_sam3_lite_dir")),
        *((form, "text_config", "num_attention_heads", 2) for form in ("tiny_sam3_dir", "tiny_sam3_lite_dir")),
        *(("tiny_sam3_dir", part, "num_attention_heads", 4) for part in FUSION[::2]),  # the decoder's are in a shape
        *(("tiny_sam3_dir", part, "hidden_act", "gelu") for part in FUSION[:2]),
    ],
)
def test_the_fingerprint_follows_every_setting_that_changes_the_outputs(form, part, entry, value, folder, request):
    original = load_sam3(request.getfixturevalue(form))
    change_config(folder, part, **{entry: value})
    changed = load_sam3(folder)
    assert not torch.equal(outputs_of(changed), outputs_of(original))
    assert changed.fingerprint != original.fingerprint


@pytest.mark.parametrize("form", ["tiny_sam3_dir"])
def test_the_fingerprint_leaves_out_what_changes_no_result(form, folder, tiny_sam3_dir):
    original = load_sam3(tiny_sam3_dir)
    change_config(folder, "", transformers_version="9.9", architectures=["Other"], initializer_range=0.5)
    change_config(folder, VIT, global_attn_indexes=[3, 1], hidden_dropout=0.5, initializer_range=0.5)
    change_config(folder, "text_config", eos_token_id=3)
    change_config(folder, "geometry_encoder_config", hidden_act="gelu", dropout=0.5)
    changed = load_sam3(folder)
    assert torch.equal(outputs_of(changed), outputs_of(original))
    assert changed.fingerprint == original.fingerprint


@pytest.mark.parametrize("form", ["tiny_sam3_dir"])
@pytest.mark.parametrize(
    ("part", "entry", "value"),
    [
        *((VIT, "num_hidden_layers", value) for value in (10**7, 2, 5, 0, -1, "4")),
        *((VIT, "num_attention_heads", value) for value in (0, 3, 16, "2")),
        *((VIT, "patch_size", value) for value in (0, [8, 8], 10, "8")),
        *((VIT, "image_size", value) for value in (0, 10**6, 36, [32, 32], None)),
        *((VIT, "window_size", value) for value in (0, -1, 10**9)),
        *((VIT, "global_attn_indexes", value) for value in ([4], [-1], "all", 3)),
        *((VIT, "pretrain_image_size", value) for value in (0, 4, 32, [16, 16])),
        *((VIT, "rope_parameters", value) for value in ({"rope_type": "linear", "rope_theta": 10.0}, "axial")),
        *(
            (VIT, entry, value)
            for entry, value in [("num_channels", 1), ("hidden_act", "mish!"), ("model_type", "vit")]
        ),
        ("vision_config", "model_type", "sam3_other"),
        *(("vision_config", "scale_factors", value) for value in ([4.0, 2.0, 1.0], [1.0, 2.0, 4.0, 0.5], [], 4)),
        *(("vision_config", "fpn_hidden_size", value) for value in (24, 10**9, 0)),
        ("vision_config", "backbone_config", 3),
        *(("text_config", "max_position_embeddings", value) for value in (31, 10**9)),
        *(("text_config", "num_hidden_layers", value) for value in (10**7, 3, 5)),
        *(("text_config", entry, 10**9) for entry in ("vocab_size", "intermediate_size", "projection_dim")),
        ("text_config", "model_type", "siglip_text_model"),
        *((part, "hidden_size", 24) for part in FUSION),
        *((part, "num_attention_heads", value) for part in FUSION for value in (0, 3)),
        *((part, "num_layers", value) for part in FUSION[:2] for value in (10**7, 1, 3, 0)),
        *(("mask_decoder_config", "num_upsampling_stages", value) for value in (1, 2, 10**7)),
        ("geometry_encoder_config", "num_layers", 10**7),
        ("detr_decoder_config", "num_queries", 10**9),
        *(("", part, 3) for part in ("text_config", "vision_config", *FUSION)),
    ],
)
def test_sizes_that_are_absurd_or_none_are_refused_in_no_time(part, entry, value, folder):
    change_config(folder, part, **{entry: value})
    with pytest.raises(ValueError, match="base"):
        load_sam3(folder)


@pytest.mark.parametrize("form", ["tiny_sam3_lite_dir"])
@pytest.mark.parametrize(
    ("entry", "value"),
    [("repmixer_kernel_size", 3), ("use_repmixer_blocks", False), ("max_position_embeddings", 0), ("vocab_size", 7)],
)
def test_so_are_those_of_the_lite_text_encoder(entry, value, folder):
    change_config(folder, "text_config", **{entry: value})
    with pytest.raises(ValueError, match="base"):
        load_sam3(folder)


@pytest.mark.parametrize("form", ["tiny_sam3_lite_dir"])
def test_the_lite_text_encoder_may_have_few_positions(form, folder):
    """Its 16 positions are interpolated to the 32 of every text."""
    name = "text_encoder.embeddings.position_embedding.position_embedding"
    weights = load_file(folder / "model.safetensors")
    weights[name] = weights[name][:, :, :16].contiguous()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    change_config(folder, "text_config", max_position_embeddings=16)
    assert outputs_of(load_sam3(folder)).isfinite().all()


@pytest.mark.parametrize("form", ["published_sam3_dir"])
@pytest.mark.parametrize("detector", [None, [], 3])
def test_a_video_model_without_its_detector_is_named(detector, folder):
    change_config(folder, "", detector_config=detector)
    with pytest.raises(ValueError, match=r"base/config\.json .*detector_config"):
        load_sam3(folder)


@pytest.mark.parametrize("form", ["published_sam3_dir"])
def test_a_video_model_without_a_weight_of_its_detector_is_named(folder):
    weights = load_file(folder / "model.safetensors")
    del weights["detector_model.text_projection.bias"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"base'.* 1 .*\(text_projection\.bias"):
        load_sam3(folder)


@pytest.mark.parametrize("form", ["tiny_sam3_dir"])
@pytest.mark.parametrize("found", ["clipseg", "sam3_tracker", "sam3_tracker_video", "clip_video", None, 3])
def test_another_type_of_model_is_named(found, folder):
    change_config(folder, "", model_type=found)
    with pytest.raises(ValueError, match=f"{found!r}.*'sam3'"):
        load_sam3(folder)


@pytest.mark.parametrize(
    ("form", "module"),
    [("tiny_sam3_dir", "sam3.modeling_sam3"), ("tiny_sam3_lite_dir", "sam3_lite_text.configuration_sam3_lite_text")],
)
def test_a_transformers_without_the_model_is_named(form, module, request, monkeypatch):
    folder = request.getfixturevalue(form)
    monkeypatch.setitem(sys.modules, f"transformers.models.{module}", None)
    with pytest.raises(ImportError, match=r"'sam3.*--upgrade transformers"):
        load_sam3(folder)


def run_python(code: str, *path: Path) -> subprocess.CompletedProcess[str]:
    """Run code in a new process, with folders before the others on its path."""
    paths = [str(folder) for folder in (*path, Path(__file__).parents[2])]
    command = f"import sys; sys.path[:0] = {paths!r}\n{code}"
    return subprocess.run([sys.executable, "-c", command], capture_output=True, text=True)


def test_torchvision_is_not_needed(tiny_sam3_dir, tiny_sam3_lite_dir, tiny_clipseg_dir):
    """And the modules of SAM 3 are imported with the first SAM 3."""
    finished = run_python(f"""
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name.startswith("torchvision") else find(name, *rest)
from monai_tunevlseg.networks import load_clipseg, load_sam3
load_clipseg({str(tiny_clipseg_dir)!r})
assert not any(name.startswith("transformers.models.sam3") for name in sys.modules)
print(*(type(load_sam3(folder).model).__name__ for folder in {[str(tiny_sam3_dir), str(tiny_sam3_lite_dir)]!r}))
assert "torchvision" not in sys.modules
""")
    assert finished.stdout.split() == ["Sam3Model", "Sam3LiteTextModel"], finished.stderr


pytestmark = pytest.mark.usefixtures("quiet_transformers")


def test_a_torchvision_of_another_build_is_named(tmp_path):
    """Beside a CPU build of torch, the CUDA build of torchvision fails with this error."""
    (tmp_path / "torchvision").mkdir()
    fault = "operator torchvision::nms does not exist"
    (tmp_path / "torchvision" / "__init__.py").write_text(f"raise RuntimeError({fault!r})")
    (tmp_path / "torchvision-0.28.0.dist-info").mkdir()
    (tmp_path / "torchvision-0.28.0.dist-info" / "METADATA").write_text("Name: torchvision\nVersion: 0.28.0\n")
    last = run_python("import monai_tunevlseg.networks", tmp_path).stderr.splitlines()[-1]
    assert last.startswith("ImportError: ")
    assert fault in last
    assert "pip uninstall torchvision" in last
