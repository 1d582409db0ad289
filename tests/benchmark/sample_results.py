"""Small results folders in the form of ``tunevlseg benchmark``, with numbers chosen by the test."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
from PIL import Image

from monai_tunevlseg.benchmark.embeddings import Embeddings, write_embeddings
from monai_tunevlseg.benchmark.experiment_spec import ExperimentSpec, Group
from monai_tunevlseg.benchmark.results_folder import StoredTrial, write_json, write_trials
from monai_tunevlseg.evaluation import Bootstrap, PairScores, summarize, write_pair_scores

TITLES = {
    "clipseg": "CLIPSeg",
    "cris": "CRIS",
    "unet": "U-Net",
    "coop": "CoOp",
    "cocoop": "CoCoOp",
    "vpt": "VPT",
    "maple": "MaPLe",
    "shared_separate": "SharedSeparate",
    "shared_attention": "SharedAttention",
    "lora": "LoRA",
    "finetune": "fine-tuned",
    "scratch": "from scratch",
    "zero_shot": "zero-shot",
}
BASELINES = ("finetune", "zero_shot")
GROUPS = {
    "finetune": Group.FINE_TUNING,
    "zero_shot": Group.ZERO_SHOT,
    "lora": Group.ADAPTERS,
    "scratch": Group.IMAGE_ONLY,
}
PROMPTS = {"coop": ["text"], "cocoop": ["text"], "vpt": ["vision"]}
COMBINATIONS = [
    *(("clipseg", name) for name in ("maple", "shared_separate", "shared_attention", "vpt", "cocoop", "coop")),
    ("cris", "cocoop"),
    ("cris", "coop"),
]


def write_experiment(
    results: Path,
    name: str,
    dices: Sequence[float],
    trials: Sequence[StoredTrial] = (),
    areas: Sequence[int] | None = None,
    facts: Mapping[str, object] | None = None,
    metrics: Mapping[str, object] | None = None,
) -> Path:
    """Write one experiment, named as its folder is, with these Dice scores of its test pairs.

    At the images' own resolution every Dice score is one point lower, but not below 0.
    """
    dataset, _, rest = name.partition("/")
    rest, _, seed = rest.partition("-seed")
    rest, _, shots = rest.partition("-shots")
    bundle, _, variant = rest.partition("-")
    model, _, method = bundle.partition("_")
    group = GROUPS.get(method, Group.PROMPTS)
    numbers = {"num_shots": int(shots) if shots else None, "seed": int(seed) if seed else None}
    spec = ExperimentSpec(dataset, model, method, variant or None, **numbers)
    folder = results / spec.name
    areas = areas or [100] * len(dices)
    pairs = [
        PairScores(
            f"images/{number:03}.png",
            None,
            "lesion",
            "lesion",
            dice=dice,
            iou=dice / (200 - dice) * 100,
            dice_original=max(0.0, dice - 1),
            iou_original=0.0,
            label_pixels=area,
            predicted_pixels=50,
            label_pixels_original=area,
            predicted_pixels_original=50,
        )
        for number, (dice, area) in enumerate(zip(dices, areas, strict=True))
    ]
    write_pair_scores(folder / "pairs.csv", pairs)
    summary = summarize(pairs, ["dice", "iou", "dice_original", "iou_original"], Bootstrap(resamples=9))
    content = {"format_version": 1, "split": "test", **summary, "classes": {"lesion": summary}, **(metrics or {})}
    write_json(folder / "metrics.json", content)
    trained = method != "zero_shot"
    content = {
        "format_version": 1,
        "dataset": dataset,
        "model": model,
        "method": method,
        "variant": spec.variant,
        "titles": {"dataset": dataset.capitalize(), "model": TITLES[model], "method": TITLES[method]},
        "group": group,
        "prompts": PROMPTS.get(method, ["text", "vision"]) if group is Group.PROMPTS else [],
        "seed": 0,
        "training_seed": spec.seed,
        "num_shots": spec.num_shots,
        "settings": {"n_trials": len(trials)},
        "selection": {"metric": "val_dice", "value": 80.0, "trial": 0, "finished": len(trials)} if trained else None,
        "hyperparameters": {"learning_rate": 0.002} if trained else {},
        "trained_parameters": 4674 if trained else 0,
        "checkpoint_bytes": 23_456 if trained else 0,
        "seconds": {"step": 0.25 if trained else None, "trial": 61.5 if trained else None, "total": 300.0},
        "peak_memory_bytes": 812_000_000 if trained else None,
        "device": "cpu",
        "versions": {"monai_tunevlseg": "0.1.0", "torch": "2.13.0"},
        "problems": [],
    }
    write_json(folder / "result.json", {**content, **(facts or {})})
    if trained:
        write_trials(folder / "trials.csv", trials)
    return folder


def trial(number: int, dice: float, depth: float, rate: float = 1e-3, decay: float = 1e-4) -> StoredTrial:
    test = dict.fromkeys(("dice", "dice_foreground", "dice_original", "dice_original_foreground"), dice)
    hyperparameters = {"learning_rate": rate, "weight_decay": decay, "prompt_depth": depth}
    return StoredTrial(number, "COMPLETE", dice - 1, 60.0, test, hyperparameters)


def write_examples(results: Path, dataset: str, names: Sequence[str], specs: Sequence[str]) -> None:
    """Write examples of squares, and shifted squares as predictions."""
    folder = results / "examples" / dataset
    folder.mkdir(parents=True)
    examples = []
    for index, name in enumerate(names):
        rng = np.random.default_rng(index)
        truth = np.zeros((96, 96), dtype=bool)
        truth[20 + 8 * index : 60 + 8 * index, 20:70] = True
        image = (rng.integers(0, 90, (96, 96, 3)) + 90 * truth[..., None]).astype(np.uint8)
        Image.fromarray(image).save(folder / f"{name}_image.png")
        Image.fromarray(truth).save(folder / f"{name}_truth.png")
        example = {"name": name, "image": f"images/{index:03}.png", "slice": None, "class_name": "lesion"}
        examples.append({**example, "text": "lesion"})
        for shift, spec in enumerate(specs):
            path = results / spec / "predictions" / f"{name}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(np.roll(truth, shift, axis=1)).save(path)
    (folder / "examples.json").write_text(json.dumps(examples))


def write_points(results: Path, model: str, dataset: str, center: float, texts: Sequence[str]) -> None:
    """Write random embeddings around a center."""
    rng = np.random.default_rng(abs(hash((model, center))) % 1000)
    image = (rng.normal(size=(30, 16)) * 0.2 + center).astype(np.float32)
    text = rng.normal(size=(len(texts), 16)).astype(np.float32)
    path = results / "embeddings" / model / f"{dataset}.npz"
    write_embeddings(path, Embeddings(dataset, model, TITLES[model], text, image, texts))


def write_study(results: Path, datasets: Sequence[str], trials: int = 4, pairs: int = 12) -> Path:
    """Write a whole benchmark: eight combinations, baselines, ablations, test images and embeddings."""
    rng = np.random.default_rng(0)
    for place, dataset in enumerate(datasets):
        names = [*(f"{model}_{method}" for model, method in COMBINATIONS)]
        names += [f"{model}_{method}" for model in ("clipseg", "cris") for method in BASELINES]
        names += ["clipseg_maple-gaussian", *(f"{model}_{method}-no_upsampler" for model, method in COMBINATIONS)]
        difficulty = rng.uniform(0, 15, pairs)
        for name in names:
            level = 85 - 4 * place + rng.uniform(-8, 3) - (50 if "zero_shot" in name else 0)
            dices = np.clip(level - difficulty + rng.normal(0, 4, pairs), 0, 100).round(4).tolist()
            swept = [
                trial(
                    number,
                    float(np.clip(level - rng.uniform(0, 20), 0, 100)),
                    float(rng.integers(1, 12)),
                    float(10 ** rng.uniform(-5, -2.3)),
                    float(10 ** rng.uniform(-5, -2)),
                )
                for number in range(trials)
            ]
            write_experiment(results, f"{dataset}/{name}", dices, swept)
        plain = [f"{dataset}/{name}" for name in names if "-" not in name]
        write_examples(results, dataset, ["00001", "00005"], plain)
        for model in ("clipseg", "cris"):
            write_points(results, model, dataset, float(place), [f"text {place} {i}" for i in range(3)])
    return results


def absent_summary(
    rates: Mapping[str, float], images: int = 4, mcc: float = 0.5, classes: Sequence[str] = ("lesion",)
) -> dict[str, object]:
    """Return ``absent`` of metrics.json for these rates of absent texts, in percent; the areas are a tenth of them."""
    presence = {"present": 8, "absent": images * len(rates), "image_level_mcc": mcc, "cgf1": 40 * mcc}
    by_text = {
        text: {"pairs": images, "false_positive_rate": rate, "false_positive_area": rate / 10}
        for text, rate in rates.items()
    }
    mean = sum(rates.values()) / len(rates)
    overall = {"pairs": images * len(rates), "false_positive_rate": mean, "false_positive_area": mean / 10}
    intervals = {"false_positive_rate": [max(0.0, mean - 5), mean + 5], "false_positive_area": None}
    by_class = dict.fromkeys(classes, {**presence, "image_level_mcc": mcc - 0.1})
    return {
        **overall,
        "texts": 2,
        "intervals": intervals,
        "presence": presence,
        "by_text": by_text,
        "by_class": by_class,
    }


def calibration_summary(ece: float, shares: Mapping[int, float], pixels: int = 100) -> dict[str, object]:
    """Return ``calibration`` of metrics.json for these shares of foreground in some of 20 bins."""
    bins = range(20)
    reliability = {
        "pixels": [pixels * (number in shares) for number in bins],
        "mean_probability": [(number + 0.5) / 20 if number in shares else None for number in bins],
        "foreground_share": [shares.get(number) for number in bins],
        "ece": ece,
    }
    errors = {
        "ece": ece,
        "ace": 2 * ece,
        "mce": 3 * ece,
        "brier": ece / 2,
        "oracle_threshold": 0.4,
        "oracle_dice": 90.0,
    }
    intervals = {"ece": [ece / 2, 2 * ece], "brier": None}
    part = {"pairs": 8, **errors, "intervals": intervals, "reliability": reliability}
    return {"applied": None, **part, "classes": {"lesion": part}}


def texts_summary(
    sets: Mapping[str, Mapping[str, float]], own: float = 90.0, contentless: float = 30.0, contradictory: float = 10.0
) -> dict[str, object]:
    """Return ``texts`` of metrics.json for these mean Dice of the texts of each class, and of the class name.

    IoU and the Dice in the blank image are half of Dice, and the rate of masks with foreground is the double of it.
    """
    parts = {name: _texts_of_class(texts, own, contentless, contradictory) for name, texts in sets.items()}
    means = [dice for texts in sets.values() for dice in texts.values()]
    (first, *others) = parts.values()
    overall = {**first, "text_set": {**first["text_set"], **_scores(sum(means) / len(means) if means else None)}}
    if others and means:
        worst = sum(min(texts.values()) for texts in sets.values()) / len(sets)
        overall["text_set"] |= {"by_text": {}, "worst": {"name": None, "dice": worst}}
    return {**overall, "classes": parts}


def _texts_of_class(
    texts: Mapping[str, float], own: float, contentless: float, contradictory: float
) -> dict[str, dict[str, object]]:
    dice = list(texts.values())
    worst = min(texts.items(), key=lambda item: item[1], default=None)
    spread = {
        "standard_deviation": stdev(dice) if len(dice) > 1 else None,
        "range": max(dice) - min(dice) if dice else None,
        "worst": worst and {"name": worst[0], "dice": worst[1]},
    }
    controls = {"contentless": ("something", contentless), "contradictory": ("background", contradictory)}
    return {
        "class_name": _scores(own),
        "text_set": {**_scores(fmean(dice) if dice else None), **spread, "by_text": _by_text(texts)},
        **{kind: {**_scores(level), "by_text": _by_text({text: level})} for kind, (text, level) in controls.items()},
    }


def _scores(dice: float | None) -> dict[str, object]:
    numbers = ("dice", 1.0), ("iou_foreground", 0.5), ("blank_dice", 0.5), ("found", 2.0)
    scores = {name: None if dice is None else min(100.0, factor * dice) for name, factor in numbers}
    interval = None if dice is None else [max(0.0, dice - 5), min(100.0, dice + 5)]
    return {"pairs": 4, **scores, "intervals": {"dice": interval}}


def _by_text(texts: Mapping[str, float]) -> dict[str, object]:
    return {text: {"dice": dice} for text, dice in texts.items()}
