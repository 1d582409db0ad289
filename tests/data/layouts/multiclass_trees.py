"""Small datasets of several classes in their owners' form, with the expected masks.

Each writer takes a folder and the number of images, and returns {stem: {class name: mask}}, masks uint8 (H, W) of 0, 1
and 255 for ignored pixels. An image that shows no class has an empty dictionary.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
from PIL import Image

from monai_tunevlseg.data.layouts import cityscapes, pascal_voc

HEIGHT, WIDTH = 24, 32
CITY_SEQUENCES = {"train": ("aachen", "bochum"), "val": ("frankfurt",)}
Truth = dict[str, dict[str, np.ndarray]]


def picture(rng: np.random.Generator) -> Image.Image:
    """A smooth colored picture: unlike any other, also to perceptual hashes."""
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    return coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)


def save(path: Path, image: Image.Image | np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(path)


def label_map(rng: np.random.Generator, values: list[int], number: int) -> np.ndarray:
    """Bands of some of the values; the last image shows none."""
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    for band, value in enumerate(rng.permutation(values)[: 1 + number % 3]):
        labels[8 * band : 8 * band + 6, 3:20] = value
    return labels


def masks_of(labels: np.ndarray, values: dict[str, int], ignored: np.ndarray | None = None) -> dict[str, np.ndarray]:
    masks = {name: (labels == value).astype(np.uint8) for name, value in values.items() if (labels == value).any()}
    for mask in masks.values():
        if ignored is not None:
            mask[ignored] = 255
    return masks


def write_cityscapes(folder: Path, images: int = 12) -> Truth:
    """The owner's two archives, with the other files that they hold; a third of the images is in val."""
    rng = np.random.default_rng(1)
    truth: Truth = {}
    for number in range(images):
        part = "val" if number % 3 == 0 else "train"
        cities = CITY_SEQUENCES[part]
        city = cities[number % len(cities)]
        stem = f"{city}_{number:06d}_000019"
        labels = label_map(rng, list(cityscapes.VALUES.values()), number)
        if number == images - 1:
            labels[:] = 0
        labels[:, -6:] = 4  # "static", which the owner's evaluation leaves out
        labels[-2:] = 1  # the car with the camera
        save(folder / "leftImg8bit" / part / city / f"{stem}_leftImg8bit.png", picture(rng))
        masks = folder / "gtFine" / part / city
        save(masks / f"{stem}_gtFine_labelIds.png", labels)
        save(masks / f"{stem}_gtFine_instanceIds.png", labels.astype(np.uint16) * 1000)
        save(masks / f"{stem}_gtFine_color.png", picture(rng))
        (masks / f"{stem}_gtFine_polygons.json").write_text("{}")
        truth[stem] = masks_of(labels, cityscapes.VALUES)
    save(folder / "leftImg8bit" / "test" / "berlin" / "berlin_000000_000019_leftImg8bit.png", picture(rng))
    return truth


def write_pascal_voc(folder: Path, images: int = 12) -> Truth:
    """VOCdevkit/VOC2012, with pictures that are not segmented; a third of the others is in val."""
    rng = np.random.default_rng(2)
    root = folder / "VOCdevkit" / "VOC2012"
    truth: Truth = {}
    lists: dict[str, list[str]] = {"train": [], "val": []}
    palette = rng.integers(0, 256, 768, dtype=np.uint8)
    palette[:3] = 0
    for number in range(images):
        stem = f"2007_{number:06d}"
        labels = label_map(rng, list(pascal_voc.VALUES.values()), number)
        if number == images - 1:
            labels[:] = 0
        ignored = np.zeros(labels.shape, bool)
        ignored[:, 20:22] = True
        labels[ignored] = 255
        save(root / "JPEGImages" / f"{stem}.jpg", picture(rng))
        mask = Image.fromarray(labels).convert("P")
        mask.putpalette(palette)
        mask.putdata(labels.ravel().tolist())
        save(root / "SegmentationClass" / f"{stem}.png", mask)
        lists["val" if number % 3 == 0 else "train"].append(stem)
        truth[stem] = masks_of(labels, pascal_voc.VALUES, ignored)
    save(root / "JPEGImages" / "2007_999999.jpg", picture(rng))
    for name, stems in (lists | {"trainval": sorted(lists["train"] + lists["val"])}).items():
        path = root / "ImageSets" / "Segmentation" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{stem}\n" for stem in stems))
    return truth


FINDINGS = (
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Lesion",
    "Airspace Opacity",
    "Edema",
    "Consolidation",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Support Devices",
)
"""What the owner's files call the classes, in their order."""


def write_chexlocalize(folder: Path, images: int = 12) -> Truth:
    """Both JSON files, and radiographs of patients of one or two views; findings overlap, the last shows none."""
    rng = np.random.default_rng(3)
    truth: Truth = {}
    codes: dict[str, dict[str, dict[str, object]]] = {"val": {}, "test": {}}
    for number in range(images):
        # two views of every third patient
        patient, view = 64541 + number - (number % 4 == 1), "view2_lateral" if number % 4 == 1 else "view1_frontal"
        part = "val" if (patient - 64541) % 3 == 0 else "test"
        stem = f"patient{patient}_study1_{view}"
        shown = rng.permutation(len(FINDINGS))[: number % 4 + 1 if number < images - 1 else 0]
        masks = {name: np.zeros((HEIGHT, WIDTH), np.uint8) for name in FINDINGS}
        for order, index in enumerate(shown):
            masks[FINDINGS[index]][2 + order : 12 + order, 5 : 15 + order] = 1
        masks["Cardiomegaly"][0, 0] = masks["Cardiomegaly"].any()  # a code that begins with foreground
        codes[part][stem] = {name: encode_run_lengths(mask) for name, mask in masks.items()}
        save(folder / "CheXpert" / part / f"patient{patient}" / "study1" / f"{view}.jpg", picture(rng).convert("L"))
        renamed = {name.lower().replace("airspace", "lung"): mask for name, mask in masks.items() if mask.any()}
        truth[stem] = renamed
    for part, content in codes.items():
        path = folder / "CheXlocalize" / f"gt_segmentations_{part}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    return truth


def encode_run_lengths(mask: np.ndarray) -> dict[str, object]:
    """COCO's compressed run-length code, after its definition: runs down the columns, background first."""
    pixels = mask.ravel(order="F").tolist()
    runs, value = [0], 0
    for pixel in pixels:
        if pixel != value:
            runs.append(0)
            value = pixel
        runs[-1] += 1
    text = ""
    for index, run in enumerate(runs):
        number = run - runs[index - 2] if index > 2 else run
        while True:
            group, number = number & 31, number >> 5
            last = number == (-1 if group & 16 else 0)
            text += chr(48 + (group if last else group | 32))
            if last:
                break
    return {"size": list(mask.shape), "counts": text}


def decode_run_lengths(rle: dict[str, object]) -> np.ndarray:
    """The other way round, and written apart from the package's decoder."""
    runs: list[int] = []
    digits: list[int] = []
    for character in str(rle["counts"]):
        digits.append(ord(character) - 48)
        if digits[-1] < 32:
            number = sum((digit % 32) * 32**place for place, digit in enumerate(digits))
            number -= 32 ** len(digits) if digits[-1] >= 16 else 0
            runs.append(number if len(runs) < 3 else number + runs[-2])
            digits = []
    values = np.arange(len(runs)) % 2
    height, width = rle["size"]
    return np.repeat(values, runs).reshape(width, height).T.astype(np.uint8)


def write_annotations(folder: Path, images: int = 12) -> Truth:
    """One class, with published texts and a list that is not read."""
    rng = np.random.default_rng(4)
    truth: Truth = {}
    lists: dict[str, list[dict[str, object]]] = {"train": [], "val": [], "test": [], "testB": []}
    for number in range(images):
        name = f"cju{number:03d}"
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[3 : 9 + number % 5, 4:20] = 255
        save(folder / "images" / f"{name}.png", picture(rng))
        save(folder / "masks" / f"{name}.png", mask)
        lists[("train", "val", "test")[max(0, number - images + 3)]].append(
            {
                "img_name": f"{name}.png",
                "mask_name": f"{name}.png",
                "prompts": {"p0": "", "p1": "polyp", "p2": [f"small polyp {number}", f"round polyp {number}"]},
            }
        )
        truth[name] = {"polyp": mask // 255}
    (folder / "anns").mkdir()
    for name, entries in lists.items():
        (folder / "anns" / f"{name}.json").write_text(json.dumps(entries))
    return truth


WRITERS = {
    "annotations": write_annotations,
    "chexlocalize": write_chexlocalize,
    "cityscapes": write_cityscapes,
    "pascal_voc": write_pascal_voc,
}


def link(originals: Path, path: Path, values: np.ndarray, name: str) -> None:
    """Make a file a hard link to the one of that name."""
    original = originals / f"{name}{path.suffix}"
    if not original.exists():
        save(original, values)
    path.parent.mkdir(parents=True, exist_ok=True)
    os.link(original, path)


TINY = np.full((5, 4, 3), 99, np.uint8)


def shown(values: list[int], count: int) -> np.ndarray:
    """A label map of 20 pixels that shows the first values."""
    return np.array((values[:count] + [0] * 20)[:20], np.uint8).reshape(5, 4)


def full_cityscapes(folder: Path) -> None:
    """2975 images with 34723 pairs, and 500 with 6005."""
    values = list(cityscapes.VALUES.values())
    for part, images, pairs in (("train", 2975, 34723), ("val", 500, 6005)):
        for number in range(images):
            count = pairs // images + (number < pairs % images)
            stem = folder / "data" / "{}" / part / "aachen" / f"aachen_{part}{number:06d}_000019"
            link(folder, Path(f"{stem}_leftImg8bit.png".format("leftImg8bit")), TINY, "image")
            mask = Path(f"{stem}_gtFine_labelIds.png".format("gtFine"))
            link(folder, mask, shown(values, count), f"mask{count}")


def full_pascal_voc(folder: Path) -> None:
    """1464 images with 2170 pairs, and 1449 with 2148."""
    root = folder / "data" / "VOC2012"
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for part, images, pairs in (("train", 1464, 2170), ("val", 1449, 2148)):
        stems = [f"{part}_{number:06d}" for number in range(images)]
        (lists / f"{part}.txt").write_text("\n".join(stems))
        for number, stem in enumerate(stems):
            count = pairs // images + (number < pairs % images)
            link(folder, root / "JPEGImages" / f"{stem}.jpg", TINY, "image")
            link(folder, root / "SegmentationClass" / f"{stem}.png", shown([7, 9, 20], count), f"mask{count}")


def full_chexlocalize(folder: Path) -> None:
    """234 radiographs of 200 patients and 668 of 500, with 2177 findings among them."""
    rng = np.random.default_rng(5)
    codes = [encode_run_lengths(np.full((5, 4), value, np.uint8)) for value in (0, 1)]
    images = {"val": (234, 200), "test": (668, 500)}
    counts = rng.multinomial(2177, np.full(902, 1 / 902)).tolist()
    (folder / "data" / "CheXlocalize").mkdir(parents=True)
    for first, (part, (radiographs, patients)) in zip((64541, 64741), images.items(), strict=True):
        content = {}
        for number in range(radiographs):
            patient, view = f"patient{first + number % patients}", f"view{1 + number // patients}_frontal"
            path = folder / "data" / "CheXpert" / part / patient / "study1" / f"{view}.jpg"
            link(folder, path, TINY[..., 0], "image")
            count = counts.pop()
            content[f"{patient}_study1_{view}"] = {
                name: codes[index < count] for index, name in enumerate(rng.permutation(FINDINGS).tolist())
            }
        (folder / "data" / "CheXlocalize" / f"gt_segmentations_{part}.json").write_text(json.dumps(content))


FULL_SIZE = {
    "chexlocalize": full_chexlocalize,
    "cityscapes": full_cityscapes,
    "pascal_voc": full_pascal_voc,
}
"""Writes as many files as Table 1 counts into `data/`, most of them links to the same few."""
