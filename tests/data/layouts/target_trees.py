"""Datasets that the literature tests transfer on, in their owners' form, with the expected masks.

Writers are those of `owners_trees`. A center of PolypGen has no writer of its own, because it is a part of `polypgen`.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import tifffile
from owners_pictures import Truth, blob, noisy, picture, rgb, save

CENTERS = {
    "C1": ("102OLCV1_100H0006", "102OLCV1_100H0009", "144OLC1_100H0022", "99OLCV1_100H0004"),
    "C2": ("EndoCV2021_001010", "EndoCV2021_001114", "EndoCV2021_001359"),
    "C3": ("C3_EndoCV2021_00162", "C3_EndoCV2021_00238", "C3_EndoCV2021_00489_"),
    "C4": (
        "11_endocv2021_positive_900",
        "4_endocv2021_positive_34",
        "4_endocv2021_positive_954",
        "7_endocv2021_negative_3",
    ),
    "C5": ("EndoCV2021_C5_50000062", "EndoCV2021_C5_50000279", "EndoCV2021_C5_50000348"),
    "C6": ("EndoCV2021_C6_0100018", "EndoCV2021_C6_0100045", "EndoCV2021_C6_0100107"),
}
"""Names of frames in each center of PolypGen; the mask of the odd one has no last underscore."""
BIRADS = ("2", "3", "4", "5")


def gray_edges(mask: np.ndarray) -> np.ndarray:
    """A mask of 0 and 255 with gray pixels in its first and last row."""
    stored = mask * np.uint8(255)
    stored[0, ::2], stored[-1, ::2] = 18, 200
    return stored


def write_colondb(folder: Path) -> Truth:
    """CVC-ColonDB.rar: images, masks of polyps, masks of regions without information and contours in one folder."""
    rng = np.random.default_rng(21)
    truth: Truth = {}
    for number in range(1, 13):
        stored, nothing = gray_edges(blob(number)), np.zeros_like(blob(number))
        for prefix, pixels in (("", picture(rng)), ("p", stored), ("s", nothing), ("c", nothing)):
            save(folder / "CVC-ColonDB" / f"{prefix}{number}.bmp", pixels)
        truth[str(number)] = {"polyp": (stored > 127).astype(np.uint8)}
    return truth


def write_pranet(folder: Path, name: str, stems: list[str]) -> Truth:
    """PraNet's TestDataset.zip, with another dataset beside the wanted one."""
    rng = np.random.default_rng(22)
    truth: Truth = {}
    for dataset in (name, "Kvasir"):
        for number, stem in enumerate(stems):
            stored = gray_edges(blob(number))
            save(folder / "TestDataset" / dataset / "images" / f"{stem}.png", picture(rng))
            save(folder / "TestDataset" / dataset / "masks" / f"{stem}.png", stored)
            truth[stem] = {"polyp": (stored > 127).astype(np.uint8)}
    return truth


def write_cvc300(folder: Path) -> Truth:
    """CVC-EndoSceneStill.zip: the frames of all splits, masks of four structures, and CVC-612 beside them."""
    rng = np.random.default_rng(23)
    truth: Truth = {}
    root = folder / "CVC-EndoSceneStill"
    for number in (1, 14, 148, *range(149, 154), *range(204, 209), 209, 300):
        stored = gray_edges(blob(number))
        save(root / "CVC-300" / "bbdd" / f"{number}.bmp", picture(rng))
        for part in ("gtpolyp", "gtlumen", "gtspecular", "gtvoid"):
            save(root / "CVC-300" / part / f"{number}.bmp", stored)
        save(root / "CVC-612" / "bbdd" / f"{number}.bmp", picture(rng))
        save(root / "CVC-612" / "gtpolyp" / f"{number}.tif", stored)
        if 149 <= number <= 208:
            truth[str(number)] = {"polyp": (stored > 127).astype(np.uint8)}
    return truth


def write_etis(folder: Path) -> Truth:
    """ETIS-LaribPolypDB.rar: TIFFs, the masks of which begin with p."""
    rng = np.random.default_rng(24)
    truth: Truth = {}
    root = folder / "ETIS-LaribPolypDB"
    for number in range(1, 13):
        stored = gray_edges(blob(number))
        for path, pixels in (
            (root / "ETIS-LaribPolypDB" / f"{number}.tif", picture(rng)),
            (root / "Ground Truth" / f"p{number}.tif", rgb(stored)),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(path, pixels, photometric="rgb")
        truth[str(number)] = {"polyp": (stored > 127).astype(np.uint8)}
    return truth


def write_polypgen(folder: Path) -> Truth:
    """PolypGen2021_MultiCenterData_v3.zip: six centers, boxes, and sequences; the second frame shows no polyp."""
    rng = np.random.default_rng(25)
    truth: Truth = {}
    root = folder / "PolypGen2021_MultiCenterData_v3"
    for center, stems in CENTERS.items():
        data = root / f"data_{center}"
        for stem in stems:
            mask = blob(len(truth)) * np.uint8(len(truth) != 1)
            stored = noisy(mask, rng)
            save(data / f"images_{center}" / f"{stem}.jpg", picture(rng))
            label = data / f"masks_{center}" / f"{stem.removesuffix('_')}_mask.jpg"
            save(label, rgb(stored) if center in ("C1", "C2") else stored, quality=95)
            save(data / f"bbox_image_{center}" / f"{stem}_mask_bbox.jpg", picture(rng))
            write_text(data / f"bbox_{center}" / f"{stem}_mask.txt", "polyp 432 624 648 768\n")
            save(root / "imagesAll_positive" / f"{stem}.jpg", picture(rng))
            truth[stem] = {"polyp": mask}
    sequence = root / "sequenceData" / "positive" / "seq2"
    save(sequence / "images_seq2" / "seq2_1.jpg", picture(rng))
    save(sequence / "masks_seq2" / "seq2_1_mask.jpg", noisy(blob(0), rng))
    write_text(root / "license.txt", "")
    return truth


def write_center(folder: Path, number: int) -> Truth:
    """PolypGen, of which one center is expected."""
    truth = write_polypgen(folder)
    return {stem: truth[stem] for stem in CENTERS[f"C{number}"]}


def write_busbra(folder: Path) -> Truth:
    """BUSBRA.zip: two views of most patients, their data, and the owner's folds, whose val images divide patients."""
    rng = np.random.default_rng(26)
    truth: Truth = {}
    root = folder / "BUSBRA"
    data = ["ID,Case,Histology,Pathology,BIRADS,Device,Width,Height,Side,BBOX"]
    folds = ["ID,Pathology,kFold,valid_1,valid_2,valid_3,valid_4,valid_5"]
    for patient in range(1, 13):
        kind = ("benign", "benign", "malignant")[patient % 3]
        for view in "lr" if patient % 4 else "s":
            stem, mask = f"bus_{patient:04d}-{view}", blob(len(truth))
            save(root / "Images" / f"{stem}.png", picture(rng)[..., 0])
            save(root / "Masks" / f"mask_{stem[4:]}.png", mask * np.uint8(255))
            data.append(
                f'{stem},{patient},"cyst",{kind},{BIRADS[patient % 4]},GE Logiq 7,48,32,{view},"[91,24,103,79]"'
            )
            folds.append(f"{stem},{kind},{1 + patient % 5},{'NaN' if patient % 5 == 0 else int(view == 'l')},1,1,1,1")
            truth[stem] = {f"{kind} tumor": mask}
    write_text(root / "bus_data.csv", "\n".join(data) + "\n")
    write_text(root / "5-fold-cv.csv", "\n".join(folds) + "\n")
    return truth


def write_udiat(folder: Path) -> Truth:
    """The BUS dataset B: numbered images, and the kinds of their tumors in an Excel workbook."""
    rng = np.random.default_rng(27)
    truth: Truth = {}
    rows = [("Image", "Type", "Diagnosis")]
    for number in range(1, 13):
        kind, mask = ("Benign", "Malignant")[number % 3 == 0], blob(number)
        save(folder / "BUS" / "original" / f"{number:06d}.png", picture(rng)[..., 0])
        save(folder / "BUS" / "GT" / f"{number:06d}.png", mask * np.uint8(255))
        rows.append((number if number % 2 else f"{number:06d}", kind, "FA & more"))
        truth[f"{number:06d}"] = {f"{kind.lower()} tumor": mask}
    write_workbook(folder / "BUS" / "DatasetB.xlsx", rows)
    return truth


def write_isic2018(folder: Path) -> Truth:
    """The six archives of ISIC 2018, task 1, with the texts beside the images."""
    rng = np.random.default_rng(28)
    truth: Truth = {}
    for number in range(12):
        part = ("Training", "Validation", "Test")[max(0, number - 7) // 2]
        stem = f"ISIC_{number * 7:07d}"
        images, masks = folder / f"ISIC2018_Task1-2_{part}_Input", folder / f"ISIC2018_Task1_{part}_GroundTruth"
        save(images / f"{stem}.jpg", picture(rng))
        save(masks / f"{stem}_segmentation.png", blob(number) * np.uint8(255))
        for text in (images / "LICENSE.txt", images / "ATTRIBUTION.txt", masks / "LICENSE.txt"):
            write_text(text, "")
        truth[stem] = {"skin lesion": blob(number)}
    return truth


def write_ph2(folder: Path) -> Truth:
    """PH2Dataset.rar: a folder for each image, with 1-bit masks and masks of colors."""
    rng = np.random.default_rng(29)
    truth: Truth = {}
    for number in range(12):
        stem = f"IMD{number + 2:03d}"
        case = folder / "PH2Dataset" / "PH2 Dataset images" / stem
        save(case / f"{stem}_Dermoscopic_Image" / f"{stem}.bmp", picture(rng))
        save(case / f"{stem}_lesion" / f"{stem}_lesion.bmp", blob(number) > 0)
        save(case / f"{stem}_roi" / f"{stem}_R1_Label4.bmp", blob(number + 1) > 0)
        truth[stem] = {"skin lesion": blob(number)}
    write_text(folder / "PH2Dataset" / "PH2_dataset.txt", "")
    return truth


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def write_workbook(path: Path, rows: list[tuple[object, ...]]) -> None:
    """Write the first sheet as Excel does: numbers in place, and texts by their index in a list of all texts."""
    texts = list(dict.fromkeys(str(value) for row in rows for value in row if isinstance(value, str)))
    cells = [
        "".join(
            f'<c r="{"ABC"[column]}{number}" t="s"><v>{texts.index(value)}</v></c>'
            if isinstance(value, str)
            else f'<c r="{"ABC"[column]}{number}"><v>{value}</v></c>'
            for column, value in enumerate(row)
        )
        for number, row in enumerate(rows, 1)
    ]
    space = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    sheet = "".join(f'<row r="{number}">{row}</row>' for number, row in enumerate(cells, 1))
    items = "".join(f"<si><t>{escape(text)}</t></si>" for text in texts)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("xl/worksheets/sheet1.xml", f"<worksheet {space}><sheetData>{sheet}</sheetData></worksheet>")
        file.writestr("xl/sharedStrings.xml", f"<sst {space}>{items}</sst>")


WRITERS = {
    "busbra": write_busbra,
    "colondb": write_colondb,
    "cvc300": write_cvc300,
    "etis": write_etis,
    "isic2018": write_isic2018,
    "ph2": write_ph2,
    "polypgen": write_polypgen,
    "udiat": write_udiat,
}
CENTER_WRITERS = {
    f"polypgen_c{number}": lambda folder, number=number: write_center(folder, number) for number in range(1, 7)
}
NUMBERS = [str(number) for number in range(1, 13)]
FORMS = {
    "colondb, PraNet's copy": ("colondb", lambda folder: write_pranet(folder, "CVC-ColonDB", NUMBERS)),
    "cvc300, PraNet's copy": (
        "cvc300",
        lambda folder: write_pranet(folder, "CVC-300", [str(number) for number in range(149, 161)]),
    ),
    "etis, PraNet's copy": ("etis", lambda folder: write_pranet(folder, "ETIS-LaribPolypDB", NUMBERS)),
}
"""Other forms of the same datasets: (layout, writer)."""
