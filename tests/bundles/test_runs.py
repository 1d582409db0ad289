"""Every bundle trains, evaluates and infers, and keeps MONAI's contracts."""

import csv
import json

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ckpt_export, verify_metadata, verify_net_in_out
from monai.handlers import CheckpointLoader
from PIL import Image
from small_runs import BUNDLES, CONFIGS, raises_inside, run, workflow, write_pictures
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_methods import is_adapter

from monai_tunevlseg.bundles import bundle_names
from monai_tunevlseg.networks import VLSMS

every_bundle = pytest.mark.parametrize("name", bundle_names(CONFIGS))
TRAINED = [name for name in bundle_names(CONFIGS) if (BUNDLES / name / "configs" / "train.yaml").is_file()]
every_trained_bundle = pytest.mark.parametrize("name", TRAINED)
every_config = pytest.mark.parametrize(
    ("name", "config"),
    [
        (name, config)
        for name in bundle_names(CONFIGS)
        for config in ("train", "evaluate", "inference")
        if name in TRAINED or config != "train"
    ],
)


def exported_networks_inputs(small):
    configs = BUNDLES / "clipseg_vpt" / "configs"
    size = {"_meta_#network_data_format#inputs#image#spatial_shape": [64, 64]}
    return {
        "meta_file": str(configs / "metadata.json"),
        "config_file": str(configs / "inference.yaml"),
        **small,
        **size,
    }


@every_trained_bundle
def test_a_bundle_trains_evaluates_and_infers(name, small, small_train, dataset_dir, tmp_path):
    run(name, "train", **small_train)
    checkpoint = torch.load(tmp_path / "models" / "model.pt", weights_only=True)
    method = name.partition("_")[2]
    inside = is_adapter(method) or method in ("finetune", "decoder")
    assert any(key.startswith("base.") for key in checkpoint) == inside

    run(name, "evaluate", **small)
    metrics = json.loads((tmp_path / "eval" / "metrics.json").read_text())
    rows = list(csv.DictReader((tmp_path / "eval" / "pairs.csv").open()))
    assert metrics["split"] == "test"
    assert metrics["pairs"] == metrics["classes"]["square"]["pairs"] == len(rows) == 2
    assert metrics["dice"] == pytest.approx(np.mean([float(row["dice"]) for row in rows]))

    run(name, "inference", **small)
    for image in (dataset_dir / "images").iterdir():
        mask = Image.open(tmp_path / "output" / "masks" / image.name)
        assert mask.size == Image.open(image).size
        assert set(np.unique(mask)) <= {0, 255}
        assert (tmp_path / "output" / "overlays" / image.name).is_file()


@every_config
def test_a_bundle_has_the_properties_that_monai_asks_for(name, config, small):
    kind = "train" if config == "train" else "infer"
    no_checkpoint = {} if kind == "train" else {"zero_shot": True}
    assert workflow(name, config, kind, **small, **no_checkpoint).check_properties() == []


@every_bundle
def test_metadata_follows_monais_schema(name, shared_dir):
    schema = shared_dir / "monai" / "meta_schema_20240725.json"
    verify_metadata(meta_file=str(BUNDLES / name / "configs" / "metadata.json"), filepath=str(schema))


@every_config
def test_the_networks_input_and_output_are_those_of_the_metadata(name, config, small):
    configs = BUNDLES / name / "configs"
    verify_net_in_out(
        net_id="network_def",
        meta_file=str(configs / "metadata.json"),
        config_file=str(configs / f"{config}.yaml"),
        **small,
        **{"_meta_#network_data_format#inputs#image#spatial_shape": [64, 64]},
    )


def test_metadata_that_the_network_does_not_keep_is_refused(small):
    with pytest.raises(ValueError, match="channel number"):
        verify_net_in_out(net_id="network_def", **exported_networks_inputs(small | {"class_names": ["a", "b"]}))


@pytest.mark.parametrize("name", [f"{model}_zero_shot" for model in VLSMS])
def test_a_zero_shot_bundle_needs_no_checkpoint(name, small, tmp_path):
    made = run(name, "evaluate", **small)
    assert (tmp_path / "eval" / "metrics.json").is_file()
    assert made.network_def.upsampler is None
    assert not [p for p in made.network_def.parameters() if p.requires_grad]
    run(name, "inference", **small)
    assert list((tmp_path / "output" / "masks").iterdir())


@pytest.mark.parametrize("none", [None, "null"])
def test_any_bundle_is_zero_shot_without_method_upsampler_and_unfrozen_part(none, small, tmp_path):
    made = run("clipseg_vpt", "evaluate", **small, method=none, unfreeze=none, upsampler=False)
    assert made.network_def.method is None
    assert (tmp_path / "eval" / "metrics.json").is_file()


def test_an_upsampler_alone_is_trained_and_wants_its_checkpoint(small, small_train, tmp_path):
    with raises_inside(FileNotFoundError, "model.pt"):
        run("clipseg_vpt", "evaluate", **small, method=None)
    run("clipseg_vpt", "train", **small_train, method=None)
    keys = torch.load(tmp_path / "models" / "model.pt", weights_only=True).keys() - {"_extra_state"}
    assert {key.split(".")[0] for key in keys} == {"upsampler"}
    run("clipseg_vpt", "evaluate", **small, method=None)


def test_a_decoder_is_fine_tuned_alone_or_with_prompts(small, small_train, tmp_path):
    for name in ("clipseg_decoder", "clipseg_coop"):
        run(name, "train", **small_train, unfreeze="decoder")
        checkpoint = torch.load(tmp_path / "models" / "model.pt", weights_only=True)
        parts = {key.split(".")[1] for key in checkpoint if key.startswith("base.")}
        assert parts == {"decoder"}
        assert any(key.startswith("method.") for key in checkpoint) == (name == "clipseg_coop")
        run(name, "evaluate", **small, unfreeze="decoder")


def test_fine_tuning_of_nothing_is_refused(small_train):
    with raises_inside(ValueError, "method.*unfreeze"):
        run("clipseg_finetune", "train", **small_train, unfreeze="null")


@pytest.mark.parametrize(("trained", "name"), [("clipseg_coop", "cris_coop"), ("cris_coop", "clipseg_coop")])
def test_a_checkpoint_of_the_other_model_is_refused_by_name(
    trained, name, small, small_train, tiny_clipseg_dir, tiny_cris_dir
):
    own = {"clipseg": str(tiny_clipseg_dir), "cris": str(tiny_cris_dir)}[trained.split("_")[0]]
    run(trained, "train", **small_train | {"pretrained": own})
    names = {"clipseg_coop": "PromptTunedCLIPSeg", "cris_coop": "PromptTunedCRIS"}
    with raises_inside(ValueError, f"trained with network '{names[trained]}', this network has '{names[name]}'"):
        run(name, "evaluate", **small)


@pytest.mark.parametrize("name", [f"{model}_lora" for model in VLSMS])
def test_a_checkpoint_of_another_rank_is_refused_by_both_ranks(name, small, small_train):
    run(name, "train", **small_train)
    with raises_inside(ValueError, r"models/model\.pt.*lora_rank 2\b.* 3\b"):
        run(name, "evaluate", **small | {"lora_rank": 3})


def test_without_a_checkpoint_the_way_out_is_named(small):
    with raises_inside(FileNotFoundError, "run train.yaml first"):
        run("clipseg_vpt", "evaluate", **small)


def test_several_classes_are_trained_as_pairs_and_inferred_together(small, small_train, dataset_dir, tmp_path):
    for path in (dataset_dir / "masks").iterdir():
        values = np.array(Image.open(path)) // 255
        values[:, 20:] *= 2
        (tmp_path / "set" / "masks").mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(tmp_path / "set" / "masks" / path.name)
    (tmp_path / "set" / "images").symlink_to(dataset_dir / "images")
    classes = {"class_names": ["left", "right"], "dataset_dir": str(tmp_path / "set")}
    run("clipseg_coop", "train", **small_train | classes)
    run("clipseg_coop", "evaluate", **small | classes)
    metrics = json.loads((tmp_path / "eval" / "metrics.json").read_text())
    assert set(metrics["classes"]) <= {"left", "right"}
    assert sum(part["pairs"] for part in metrics["classes"].values()) == metrics["pairs"]
    run("clipseg_coop", "inference", **small | classes)
    assert set(np.unique(np.array(Image.open(tmp_path / "output" / "masks" / "00.png")))) <= {0, 1, 2}


def test_volumes_are_trained_by_slices_and_get_volumes_back(small, small_train, tmp_path):
    rng = np.random.default_rng(0)
    affine = np.array([[0, -1.5, 0, 3], [2, 0, 0, -4], [0, 0, 4, 5], [0, 0, 0, 1.0]])
    for number in range(3):
        mask = np.zeros((20, 24, 4), np.uint8)
        mask[4:12, 6:16, 1:] = 1
        for folder, values in (("images", rng.normal(size=mask.shape) + mask), ("masks", mask)):
            (tmp_path / "set" / folder).mkdir(parents=True, exist_ok=True)
            dtype = np.float32 if folder == "images" else np.uint8
            nib.save(nib.Nifti1Image(values.astype(dtype), affine), tmp_path / "set" / folder / f"{number}.nii.gz")
    volumes = {"dataset_dir": str(tmp_path / "set")}
    run("clipseg_vpt", "train", **small_train | volumes)
    run("clipseg_vpt", "evaluate", **small | volumes)
    rows = list(csv.DictReader((tmp_path / "eval" / "pairs.csv").open()))
    assert [int(row["slice"]) for row in rows] == [0, 1, 2]  # from the top
    empty = list(csv.DictReader((tmp_path / "eval" / "slices_without_foreground.csv").open()))
    assert [int(row["slice"]) for row in empty] == [3]

    for axis in (0, 2):
        run("clipseg_vpt", "inference", **small | volumes, slice_axis=axis, output_dir=str(tmp_path / str(axis)))
        for number in range(3):
            predicted = nib.load(tmp_path / str(axis) / "masks" / f"{number}.nii.gz")
            assert predicted.shape == (20, 24, 4)
            np.testing.assert_array_equal(predicted.affine, affine)
            assert set(np.unique(predicted.dataobj)) <= {0, 1}


def test_pictures_flat_files_and_volumes_are_in_one_batch_and_whole_volumes_are_scored(small, small_train, tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / "set"
    write_pictures(folder, count=4)
    for number in range(4):
        for name, shape in (("flat", (24, 20)), ("volume", (24, 20, 5))):
            mask = np.zeros(shape, np.uint8)
            mask[4:12, 6:16, ...] = 1
            mask[..., -2:] = 0
            pixels = (rng.integers(-1000, 400, shape) + 600 * mask.astype(int)).astype(np.int16)
            for sub, values in (("images", pixels), ("masks", mask)):
                path = folder / sub / f"{name}{number}.nii.gz"
                nib.save(nib.Nifti1Image(values, np.diag([-1.0, -1, 2, 1])), path)
    kinds = ("0{}", "flat{}", "volume{}")
    splits = {
        split: [kind.format(number) for number in numbers for kind in kinds]
        for split, numbers in {"train": (0, 1), "val": (2,), "test": (3,)}.items()
    }
    (folder / "splits.json").write_text(json.dumps(splits))
    mixed = {"dataset_dir": str(folder), "intensity_window": [-1000, 1000]}
    run("clipseg_vpt", "train", **small_train | mixed | {"batch_size": 8, "effective_batch_size": 8})
    run("clipseg_vpt", "evaluate", **small | mixed)
    run("clipseg_vpt", "inference", **small | mixed | {"calibration": "off"})  # as in evaluation
    metrics = json.loads((tmp_path / "eval" / "metrics.json").read_text())
    assert metrics["pairs"] == 2 + 3
    predicted, label = (
        np.asarray(nib.load(path).dataobj) > 0
        for path in (tmp_path / "output" / "masks" / "volume3.nii.gz", folder / "masks" / "volume3.nii.gz")
    )
    dice = 200 * (predicted & label).sum() / (predicted.sum() + label.sum())
    assert metrics["volumes"]["dice"] == pytest.approx(dice, abs=1)
    (case,) = metrics["volumes"]["per_volume"]
    assert case["image"] == "images/volume3.nii.gz"
    assert case["label_voxels"] == label.sum()
    assert case["predicted_voxels"] == pytest.approx(predicted.sum(), rel=0.02)
    found = predicted[..., -2:].any(axis=(0, 1)).sum()
    assert metrics["slices_without_foreground"]["pairs"] == 2
    assert metrics["slices_without_foreground"]["with_prediction"] == found
    assert len(list((tmp_path / "eval" / "predicted_masks").iterdir())) == 2 + 5


def test_the_checkpoint_is_loaded_by_monais_loader_and_refused_by_another_method(small, small_train, tmp_path):
    trained = run("clipseg_vpt", "train", **small_train)
    fresh = workflow("clipseg_vpt", "inference", **small).network_def
    CheckpointLoader(str(tmp_path / "models" / "model.pt"), {"model": fresh})(trained.trainer)
    for name, value in trained.network_def.state_dict().items():
        assert torch.equal(value, fresh.state_dict()[name]), name
    other = workflow("clipseg_coop", "inference", **small).network_def
    with pytest.raises(ValueError, match="vpt.*coop|coop.*vpt"):
        CheckpointLoader(str(tmp_path / "models" / "model.pt"), {"model": other})(trained.trainer)


def test_the_checkpoint_is_exported_by_monai(small, small_train, tmp_path):
    trained = run("clipseg_vpt", "train", **small_train | {"precision": "fp32"})  # what is exported is
    target = tmp_path / "model.ts"
    ckpt_export(
        net_id="network_def",
        filepath=str(target),
        ckpt_file=str(tmp_path / "models" / "model.pt"),
        use_trace=True,
        input_shape=[1, 3, 64, 64],
        converter_kwargs={"check_trace": False},  # compared below; the second trace would find the text encoded already
        **exported_networks_inputs(small),
    )
    picture = torch.rand(1, 3, 64, 64)
    network = trained.network_def.eval()
    torch.testing.assert_close(torch.jit.load(target)(picture), network(picture), rtol=1e-4, atol=1e-5)


def test_tensorboard_gets_scalars_and_pictures(small_train, tmp_path):
    run("clipseg_vpt", "train", **small_train)
    events = EventAccumulator(str(tmp_path / "eval")).Reload().Tags()
    assert {"train_loss", "val_loss", "val_mean_dice"} <= set(events["scalars"])
    assert sorted(tag.split("_HW")[0].split("_CHW")[0] for tag in events["images"]) == ["input_0", "input_1", "output"]


def test_ignored_pixels_count_in_no_validation_metric(small, small_train, tmp_path):
    made = workflow("clipseg_vpt", "train", "train", **small_train | {"epochs": 1})
    label = torch.zeros(1, 8, 8)
    label[:, :4], label[:, 6:] = 1, 255
    logits = torch.where(label == 1, 9.0, -9.0)
    logits[:, 6:] = 9.0
    sample = made.parser.get_parsed_content("validate#postprocessing")({"pred": logits, "label": label})
    assert torch.equal(sample["pred"], sample["label"])
    assert sample["label"].max() == 1
    assert sample["target"].max() == 255
