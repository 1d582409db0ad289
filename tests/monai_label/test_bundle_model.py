"""Bundles as models, without a server."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import yaml
from label_fixtures import circle_mask, dice, draw_picture, write_bundle

from monai_tunevlseg.calibration import Calibration, ClassCalibration, remove_calibration, write_calibration
from monai_tunevlseg.digests import file_digest
from monai_tunevlseg.monai_label.bundle_model import SegmentedImage, mean_confidence, open_bundles
from monai_tunevlseg.networks import PromptTunedCLIPSeg
from monai_tunevlseg.segmenter import Segmenter, open_bundle


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    return [write_bundle(folder / "one", ("red circle",)), write_bundle(folder / "two", ("blue object", "red circle"))]


@pytest.fixture
def models(folders):
    return open_bundles(",".join(map(str, folders)))


@pytest.fixture
def picture(tmp_path):
    draw_picture().save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_bundles_share_one_copy_of_the_base_network(precision, tmp_path):
    bundles = [write_bundle(tmp_path / name, ("red circle",), precision=precision) for name in ("a", "b")]
    first, second = (model.network() for model in open_bundles(",".join(map(str, bundles))).values())
    assert first is not second
    assert places(first) == places(second)
    assert (torch.bfloat16 in {parameter.dtype for parameter in first.base.parameters()}) == (precision == "bf16")


def places(network):
    """Return the addresses of the base's weights."""
    return [parameter.data_ptr() for parameter in network.base.parameters()]


def test_the_same_base_under_another_name_is_shared_too(folders, tmp_path):
    import shutil

    from monai_tunevlseg.demo import demo_model

    copied = shutil.copytree(demo_model("clipseg"), tmp_path / "copied")
    other = write_bundle(tmp_path / "other", ("polyp",))
    config = other / "configs" / "inference.yaml"
    config.write_text(config.read_text().replace(str(demo_model("clipseg")), str(copied)))
    models = open_bundles(f"{folders[0]},{other}")
    assert places(models["one"].network()) == places(models["other"].network())


def test_a_new_checkpoint_is_used_at_once(folders, picture, tmp_path_factory):
    model = open_bundles(str(write_bundle(tmp_path_factory.mktemp("b") / "mine", ("red circle",))))["mine"]
    assert model.version() == "zero-shot"
    assert model.network().method is None
    before = model.entropy(picture)
    parser = open_bundle(folders[0])
    model.checkpoint.parent.mkdir()
    torch.save(parser.get_parsed_content("network").state_dict(), model.checkpoint)
    assert model.network().method_name == "vpt"
    assert model.entropy(picture) != before


def test_a_new_calibration_is_used_at_once(folders, picture, tmp_path):
    model = open_bundles(str(write_bundle(tmp_path / "mine", ("red circle",))))["mine"]
    model.checkpoint.parent.mkdir()
    torch.save(open_bundle(folders[0]).get_parsed_content("network").state_dict(), model.checkpoint)
    before, entropy = model.segment(picture, ["red circle"]).labels, model.entropy(picture)
    version = model.version()
    for threshold, share in ((1e-9, 1), (1 - 1e-9, 0)):
        fitted = ClassCalibration(4.0, threshold, 1, 0, 0, 0, 0)
        write_calibration(model.checkpoint, Calibration({"red circle": fitted}), file_digest(model.checkpoint))
        assert model.version() != version
        assert (model.segment(picture, ["red circle"]).labels > 0).mean() == share != (before > 0).mean()
        assert model.entropy(picture) > entropy  # a temperature above 1
    config = model.folder / "configs" / "inference.yaml"
    parsed = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump(parsed | {"calibration": "off"}, sort_keys=False))
    off = open_bundles(str(model.folder))["mine"]
    np.testing.assert_array_equal(off.segment(picture, ["red circle"]).labels, before)
    remove_calibration(model.checkpoint)
    np.testing.assert_array_equal(model.segment(picture, ["red circle"]).labels, before)


def test_cris_is_a_model_too(picture, tmp_path):
    model = open_bundles(str(write_bundle(tmp_path / "cris", ("red circle",), bundle="cris_coop")))["cris"]
    assert model.segment(picture, ["red circle"]).labels.shape == (120, 150)


def test_a_network_without_a_base_model_segments_its_classes_once_it_is_trained(picture, tmp_path):
    model = open_bundles(str(write_bundle(tmp_path / "unet", ("red circle", "dot"), bundle="unet_scratch")))["unet"]
    for call in (lambda: model.segment(picture, ["red circle"]), lambda: model.entropy(picture), model.check_usable):
        with pytest.raises(ValueError, match=r"unet is not trained.*models/model\.pt"):
            call()
    model.checkpoint.parent.mkdir()
    torch.save(open_bundle(model.folder).get_parsed_content("network").state_dict(), model.checkpoint)
    model.check_usable()
    assert model.segment(picture, ["dot"]).labels.shape == (120, 150) and 0 < model.entropy(picture) < 1
    with pytest.raises(ValueError, match="'square'.*red circle, dot"):
        model.segment(picture, ["square"])


def test_cached_texts_are_limited(models, picture, monkeypatch):
    monkeypatch.setattr("monai_tunevlseg.monai_label.bundle_model.MAX_CACHED_TEXTS", 3)
    model = models["one"]
    for number in range(6):
        model.segment(picture, [f"thing {number}"])
    assert len(model.network().text_features) <= 4
    assert dice(model.segment(picture, ["red circle"]).labels, circle_mask()) > 0.9


def test_bundles_share_the_features_of_an_image(models, picture, monkeypatch):
    encoded = []
    encode = PromptTunedCLIPSeg.encode_image
    monkeypatch.setattr(
        PromptTunedCLIPSeg,
        "encode_image",
        lambda network, image, *more: encoded.append(len(image)) or encode(network, image, *more),
    )
    first = models["one"].segment(picture, ["red circle"])
    models["one"].segment(picture, ["blue object"])
    again = models["two"].segment(picture, ["red circle"])
    assert encoded == [1]  # both are zero-shot
    np.testing.assert_array_equal(first.labels, again.labels)
    np.testing.assert_array_equal(first.confidence, again.confidence)


def test_entropy_is_that_of_the_probabilities(models, picture):
    model = models["two"]
    logits = model.reduce_logits(picture, model.class_names, lambda logits, cuts: torch.cat(list(logits), dim=1))
    chance = 1 / (1 + np.exp(-logits.astype(float)))
    bits = -(chance * np.log2(chance) + (1 - chance) * np.log2(1 - chance))
    assert model.entropy(picture) == pytest.approx(bits.mean(), rel=1e-6)
    assert 0 < model.entropy(picture) < 1


def test_the_confidence_is_the_mean_probability_in_the_mask(models, picture):
    model, texts = models["two"], ["blue object", "red circle", "car"]
    found = model.segment(picture, texts)
    logits = model.reduce_logits(picture, texts, lambda logits, cuts: torch.cat(list(logits), dim=1))
    chance = 1 / (1 + np.exp(-logits.astype(float)))
    means = mean_confidence(found.labels, found.confidence, 3)
    for value in (1, 2):
        assert means[value - 1] == pytest.approx(chance[value - 1][found.labels == value].mean(), abs=1e-6)
        assert 0.5 < means[value - 1] < 1
    assert mean_confidence(np.where(found.labels == 2, 0, found.labels), found.confidence, 3)[1] is None
    assert (found.confidence[found.labels == 0] == 0).all()


def test_the_presence_is_that_of_the_segmenter(models, folders, picture):
    found = models["two"].segment(picture, ["blue object", "car", "red circle"])
    zero_shot = Segmenter.from_bundle(folders[1], method=None, unfreeze=None, upsampler=False)
    expected = zero_shot.presence(picture, ["blue object", "car", "red circle"])
    np.testing.assert_allclose(found.presence, expected, atol=1e-6)


def test_uncertainty_is_that_of_masks_or_else_of_presence(models, picture, monkeypatch):
    """Two classes, of which the second has no mask: worked out by hand."""
    model = models["two"]
    labels = np.array([[0, 1], [1, 0]], np.uint8)
    found = SegmentedImage(labels, np.float32([[0, 0.9], [0.6, 0]]), [0.99, 0.3])
    monkeypatch.setattr(model, "segment", lambda image, texts: found)
    assert model.uncertainty(picture) == pytest.approx(((1 - 0.75) + 0.3) / 2)


def test_a_damaged_file_is_named(models, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"broken\.png"):
        models["one"].segment(tmp_path / "broken.png", ["red circle"])


def test_a_damaged_checkpoint_is_named(picture, tmp_path):
    model = open_bundles(str(write_bundle(tmp_path / "mine", ("red circle",))))["mine"]
    model.checkpoint.parent.mkdir()
    model.checkpoint.write_bytes(b"PK no checkpoint")
    with pytest.raises(ValueError, match=r"mine/models/model\.pt"):
        model.segment(picture, ["red circle"])


def test_a_folder_that_is_not_a_bundle_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"configs/inference\.yaml"):
        open_bundles(str(tmp_path))


def test_two_bundles_of_one_name_are_refused(folders, tmp_path):
    other = write_bundle(tmp_path / "one", ("polyp",))
    with pytest.raises(ValueError, match="'one'.*/one.*/one"):
        open_bundles(f"{folders[0]},{other}")


def test_an_empty_list_of_bundles_is_refused():
    with pytest.raises(ValueError, match="--conf bundles"):
        open_bundles(" , ")
