"""Datasets with one mask per picture in their owners' form, with the expected masks.

A writer of `WRITERS` takes a folder and returns {stem: {class name: mask}}, masks uint8 of 0 and 1 on the stored grid;
a normal image of BUSI has one empty mask. A writer of `FULL_SIZE` makes as many files as Table 1 counts, all of them
links to the same few.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk  # noqa: N813
import target_trees
import tifffile
from owners_pictures import HEIGHT, WIDTH, Truth, blob, noisy, picture, rgb, save
from PIL import Image

from monai_tunevlseg.data import LAYOUTS, DatasetSpec, MaskEncoding, build_datalists
from monai_tunevlseg.data.io.reading import read_shape


def write_kvasir(folder: Path) -> Truth:
    """Kvasir-SEG.zip: JPEG masks with noise, and a file of boxes."""
    rng = np.random.default_rng(1)
    truth: Truth = {}
    for number in range(12):
        stem = f"cju{number:02d}qkwl35piu0993l0dewei{number}"
        save(folder / "Kvasir-SEG" / "images" / f"{stem}.jpg", picture(rng))
        save(folder / "Kvasir-SEG" / "masks" / f"{stem}.jpg", rgb(noisy(blob(number), rng)), quality=95)
        truth[stem] = {"polyp": blob(number)}
    (folder / "Kvasir-SEG" / "kavsir_bboxes.json").write_text("{}")
    return truth


def write_clinicdb(folder: Path, form: str = "tif") -> Truth:
    """CVC-ClinicDB.rar: color frames that say they are gray, and masks with gray edges."""
    rng = np.random.default_rng(2)
    truth: Truth = {}
    root = folder / "CVC-ClinicDB" / ("PNG" if form == "png" else ".")
    for number in range(1, 13):
        mask = blob(number) * np.uint8(255)
        mask[0, ::2], mask[-1, ::2] = 18, 200
        for name, pixels in (("Original", picture(rng)), ("Ground Truth", mask)):
            path = root / name / f"{number}.{form}"
            path.parent.mkdir(parents=True, exist_ok=True)
            if form == "png":
                Image.fromarray(pixels).save(path)
            else:
                tifffile.imwrite(path, pixels, photometric="minisblack", planarconfig="contig")
        truth[str(number)] = {"polyp": (mask > 127).astype(np.uint8)}
    (folder / "CVC-ClinicDB" / "README.txt").write_text("")
    return truth


def write_bkai(folder: Path) -> Truth:
    """The folders of bkai-igh-neopolyp.zip: red and green JPEG masks, and a test part without masks."""
    rng = np.random.default_rng(3)
    truth: Truth = {}
    for number in range(12):
        stem = f"{number:032x}"
        red, green = blob(number), np.roll(blob(number), 16, axis=0) * (number % 3 == 0)
        if number % 3 == 1:
            red, green = green, red
        colors = np.stack([noisy(red, rng), noisy(green, rng), noisy(np.zeros_like(red), rng)], axis=-1)
        save(folder / "train" / "train" / f"{stem}.jpeg", picture(rng))
        save(folder / "train_gt" / "train_gt" / f"{stem}.jpeg", colors, quality=95, subsampling=0)
        save(folder / "test" / "test" / f"{number + 99:032x}.jpeg", picture(rng))
        truth[stem] = {"polyp": red | green}
    return truth


def write_isic(folder: Path) -> Truth:
    """The four archives of ISIC 2016, part 1; the last three images are the owner's test part."""
    rng = np.random.default_rng(4)
    truth: Truth = {}
    for number in range(12):
        part = "Test" if number >= 9 else "Training"
        stem = f"ISIC_{number * 7:07d}"
        save(folder / f"ISBI2016_ISIC_Part1_{part}_Data" / f"{stem}.jpg", picture(rng))
        mask = folder / f"ISBI2016_ISIC_Part1_{part}_GroundTruth" / f"{stem}_Segmentation.png"
        save(mask, blob(number) * np.uint8(255))
        truth[stem] = {"skin lesion": blob(number)}
    return truth


def write_dfu(folder: Path) -> Truth:
    """DFUC2022_train_release.zip; the first image shows no ulcer."""
    rng = np.random.default_rng(5)
    truth: Truth = {}
    root = folder / "DFUC2022_train_release"
    for number in range(12):
        mask = blob(number) * np.uint8(number > 0)
        save(root / "DFUC2022_train_images" / f"{100001 + number}.jpg", picture(rng))
        save(root / "DFUC2022_train_masks" / f"{100001 + number}.png", rgb(mask * np.uint8(255)))
        truth[str(100001 + number)] = {"foot ulcer": mask}
    return truth


def write_busi(folder: Path) -> Truth:
    """Dataset_BUSI_with_GT: 1-bit, RGB, RGBA and gray masks, several for some images, and normal images."""
    rng = np.random.default_rng(6)
    truth: Truth = {}
    classes = {"benign": "benign tumor", "malignant": "malignant tumor", "normal": "breast tumor"}
    for number in range(15):
        kind = ("benign", "benign", "malignant", "malignant", "normal")[number % 5]
        root, stem = folder / "Dataset_BUSI_with_GT" / kind, f"{kind} ({number + 1})"
        save(root / f"{stem}.png", picture(rng))
        several = {0: 3, 2: 2}.get(number, 1)
        masks = [blob(number + 3 * more) * np.uint8(kind != "normal") for more in range(several)]
        for more, mask in enumerate(masks):
            path = root / f"{stem}_mask{f'_{more}' if more else ''}.png"
            save(path, rgb(mask * 255) if kind == "normal" else _in_mode(mask * np.uint8(255), number + more))
        truth[stem] = {classes[kind]: np.maximum.reduce(masks)}
    return truth


def _in_mode(mask: np.ndarray, number: int) -> Image.Image:
    opaque = np.full((*mask.shape, 1), 255, np.uint8)
    modes = (
        lambda: Image.fromarray(mask).convert("1"),
        lambda: Image.fromarray(rgb(mask)),
        lambda: Image.fromarray(np.concatenate([rgb(mask), opaque], axis=-1)),
        lambda: Image.fromarray(mask),
    )
    return modes[number % 4]()


CAMUS_VALUES = {"left ventricular cavity": 1, "myocardium": 2, "left atrium cavity": 3}


def write_camus(folder: Path, form: str = "nii.gz", depth: bool = False, lists: bool = True) -> Truth:
    """CAMUS_public, or with `.mhd` and `.zraw` the older archive; with the sequences that lie between the frames.

    Args:
        folder: where to.
        form: of the files: nii.gz, mhd (with .raw) or zraw (.mhd with .zraw).
        depth: give pictures a last axis of one.
        lists: write the owner's splits.
    """
    rng = np.random.default_rng(7)
    truth: Truth = {}
    patients = [f"patient{number:04d}" for number in (1, 2, 27, 47, 200)]
    root = folder / "CAMUS_public" / ("database_nifti" if form == "nii.gz" else "training")
    for number, patient in enumerate(patients):
        for view in ("2CH", "4CH"):
            for time in ("ED", "ES"):
                stem = f"{patient}_{view}_{time}"
                labels = _heart(number)
                write_frame(root / patient / stem, _echo(rng), form, depth)
                write_frame(root / patient / f"{stem}_gt", labels, form, depth)
                values = {name: value for name, value in CAMUS_VALUES.items() if (labels == value).any()}
                truth[stem] = {name: (value == labels.T).astype(np.uint8) for name, value in values.items()}
            (root / patient / f"Info_{view}.cfg").write_text("ED: 1\n")
            sequence = "half_sequence" if form == "nii.gz" else "sequence"
            write_frame(root / patient / f"{patient}_{view}_{sequence}", np.zeros((4, 3, 9), np.uint8), form, False)
    if lists and form == "nii.gz":
        split = folder / "CAMUS_public" / "database_split"
        split.mkdir()
        for name, part in (("training", patients[:3]), ("validation", patients[3:4]), ("testing", patients[4:])):
            (split / f"subgroup_{name}.txt").write_text("\n".join(part) + "\n")
    return truth


def _heart(number: int) -> np.ndarray:
    """(X, Y) label values on a grid that is not square; every third patient shows no left atrium."""
    labels = np.zeros((WIDTH, HEIGHT), np.uint8)
    labels[6:30, 4 + number : 20 + number] = 2
    labels[10:26, 8 + number : 16 + number] = 1
    labels[32:44, 6:14] = 3 if number % 3 else 0
    return labels


def _echo(rng: np.random.Generator) -> np.ndarray:
    return np.ascontiguousarray(picture(rng)[..., 0].T)


def write_frame(path: Path, values: np.ndarray, form: str, depth: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = values[..., None] if depth else values
    if form == "nii.gz":
        nib.save(nib.Nifti1Image(stored, np.diag([-0.3, -0.15, 1, 1])), path.parent / f"{path.name}.nii.gz")
    else:
        sitk.WriteImage(sitk.GetImageFromArray(stored.T), str(path.parent / f"{path.name}.mhd"), form == "zraw")


WRITERS = {
    "bkai": write_bkai,
    "busi": write_busi,
    "camus": write_camus,
    "clinicdb": write_clinicdb,
    "dfu": write_dfu,
    "isic": write_isic,
    "kvasir": write_kvasir,
    **target_trees.WRITERS,
}
FORMS = {
    "camus, last axis of one": ("camus", lambda folder: write_camus(folder, depth=True)),
    "camus, mhd": ("camus", lambda folder: write_camus(folder, form="mhd", depth=True)),
    "camus, zraw": ("camus", lambda folder: write_camus(folder, form="zraw")),
    "clinicdb, png": ("clinicdb", lambda folder: write_clinicdb(folder, form="png")),
    **target_trees.FORMS,
}
"""Other forms of the same datasets: (layout, writer)."""


class Links:
    """Makes many files of a few: hard links to one file for each form and content."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "originals"
        self.folder.mkdir()

    def put(self, path: Path, values: np.ndarray) -> None:
        """Make `path` a link to a file of that form with these values."""
        suffix = "".join(path.suffixes[-2:]) if path.name.endswith(".nii.gz") else path.suffix
        original = self.folder / f"{values.ndim}d{values.max()}{suffix}"
        if not original.exists():
            if suffix == ".nii.gz":
                nib.save(nib.Nifti1Image(values, np.eye(4)), original)
            else:
                Image.fromarray(values).save(original)
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(original, path)


TINY = np.full((8, 8, 3), 99, np.uint8)
TINY_MASK = np.full((8, 8), 255, np.uint8)


def pair_many(folder: Path, count: int, image: str, mask: str) -> None:
    """Make `count` pairs; `image` and `mask` are paths with a place for the number."""
    links = Links(folder)
    for number in range(count):
        links.put(folder / "data" / image.format(number), TINY)
        links.put(folder / "data" / mask.format(number), TINY_MASK)


def full_isic(folder: Path) -> None:
    links = Links(folder)
    for part, count, first in (("Training", 900, 0), ("Test", 379, 3)):
        for number in range(count):
            stem = f"ISIC_{10 * number + first:07d}"
            links.put(folder / "data" / f"ISBI2016_ISIC_Part1_{part}_Data" / f"{stem}.jpg", TINY)
            mask = folder / "data" / f"ISBI2016_ISIC_Part1_{part}_GroundTruth" / f"{stem}_Segmentation.png"
            links.put(mask, TINY_MASK)


def full_busi(folder: Path) -> None:
    """437 benign, 210 malignant and 133 normal images; 17 of them have a second mask."""
    links = Links(folder)
    for kind, count, second in (("benign", 437, 16), ("malignant", 210, 1), ("normal", 133, 0)):
        for number in range(1, count + 1):
            stem = folder / "data" / "Dataset_BUSI_with_GT" / kind / f"{kind} ({number})"
            links.put(stem.with_name(f"{stem.name}.png"), TINY)
            links.put(stem.with_name(f"{stem.name}_mask.png"), TINY_MASK * (kind != "normal"))
            if number <= second:
                links.put(stem.with_name(f"{stem.name}_mask_1.png"), TINY_MASK)


def full_camus(folder: Path, frames: tuple[str, ...] = ("2CH_ED", "2CH_ES", "4CH_ED", "4CH_ES")) -> None:
    """500 patients, every one with both views at both times, all of which show the three classes."""
    links = Links(folder)
    labels = np.repeat(np.array([[0, 1, 2, 3]], np.uint8), 4, axis=0)
    for number in range(1, 501):
        root = folder / "data" / "database_nifti" / f"patient{number:04d}"
        for frame in frames:
            links.put(root / f"{root.name}_{frame}.nii.gz", labels * np.uint8(9))
            links.put(root / f"{root.name}_{frame}_gt.nii.gz", labels)


FULL_SIZE = {
    "bkai": lambda folder: pair_many(folder, 1000, "train/train/{:032x}.jpeg", "train_gt/train_gt/{:032x}.jpeg"),
    "busi": full_busi,
    "camus": full_camus,
    "clinicdb": lambda folder: pair_many(folder, 612, "Original/{}.tif", "Ground Truth/{}.tif"),
    "dfu": lambda folder: pair_many(folder, 2000, "images/{:06d}.jpg", "masks/{:06d}.png"),
    "isic": full_isic,
    "kvasir": lambda folder: pair_many(folder, 1000, "Kvasir-SEG/images/cju{}.jpg", "Kvasir-SEG/masks/cju{}.jpg"),
}


def read(name, folder, names=None, **encoding):
    return LAYOUTS[name].read(folder, MaskEncoding(names or LAYOUTS[name].info.class_names, **encoding), 2)


def datalists(name, folder, write_splits_to=None, **arguments):
    """Datalists of a small tree, which cannot have the published sizes."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="the published sizes")
        return build_datalists(DatasetSpec(folder, layout=name, **arguments), write_splits_to)


def pixel_file(path):
    """The file with a mask's pixels: beside a MetaImage's header, else the mask itself."""
    return next((path.with_suffix(s) for s in (".raw", ".zraw") if path.with_suffix(s).exists()), path)


def enlarge(path):
    """Replace a mask by one of another size."""
    size = (read_shape(path)[0] + 8, read_shape(path)[1])
    if path.suffix in (".mhd", ".gz"):
        form = "nii.gz" if path.suffix == ".gz" else "zraw" if path.with_suffix(".zraw").exists() else "mhd"
        stem = path.with_name(path.name.removesuffix(".nii.gz").removesuffix(".mhd"))
        write_frame(stem, np.ones(size, np.uint8), form, len(read_shape(path)) == 3)
    else:
        Image.fromarray(np.zeros(size, np.uint8)).save(path)
