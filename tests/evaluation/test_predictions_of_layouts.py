"""The masks of every layout, in the forms in which tools predict them, are matched to their pairs."""

from __future__ import annotations

import re
import shutil
import warnings

import multiclass_trees
import numpy as np
import owners_trees
import pytest
from PIL import Image

from monai_tunevlseg.data import LAYOUTS, DatasetSpec, build_datalists
from monai_tunevlseg.data.datalists import read_cases
from monai_tunevlseg.data.dataset_conversion import convert_dataset
from monai_tunevlseg.data.sample_masks import IGNORE_INDEX, read_sample_mask
from monai_tunevlseg.evaluation import PredictionForm, match_predictions

WRITERS = owners_trees.WRITERS | multiclass_trees.WRITERS
FORMS = {name: (name, writer) for name, writer in WRITERS.items()} | owners_trees.FORMS
OVERLAPPING = "chexlocalize"  # a label map cannot hold its classes


def predict(folder, converted):
    """Copy the test labels of a converted dataset, with the file that nnU-Net puts beside its predictions."""
    masks = converted / ("labelsTs" if (converted / "labelsTs").is_dir() else "masks")
    shutil.copytree(masks, folder)
    if (converted / "dataset.json").is_file():
        shutil.copy(converted / "dataset.json", folder)
    return folder


@pytest.mark.filterwarnings("ignore:the published sizes", "ignore:no image of train or val")
@pytest.mark.parametrize("form", sorted(FORMS))
def test_labels_are_their_own_predictions(tmp_path, form):
    name, writer = FORMS[form]
    (tmp_path / "data").mkdir()
    writer(tmp_path / "data")
    info = LAYOUTS[name].info
    spec = DatasetSpec(tmp_path / "data", info.class_names if info else ["polyp"], layout=name)
    converted = convert_dataset(spec, tmp_path / "Dataset501_X", "folder" if name == OVERLAPPING else "nnunet")
    folder = predict(tmp_path / "predicted", converted.folder)
    cases = read_cases(spec)
    samples = build_datalists(spec, cases=cases)["test"]
    encoding = PredictionForm(spec.encoding().class_names)
    with warnings.catch_warnings():
        warnings.simplefilter("error" if name != OVERLAPPING else "ignore")
        predictions = match_predictions(folder, encoding, samples, cases)
    for sample, prediction in zip(samples, predictions, strict=True):
        mask = read_sample_mask(sample)
        counted = mask != IGNORE_INDEX
        np.testing.assert_array_equal(read_sample_mask(prediction)[counted], mask[counted])
    masks = {str(prediction["label"]) for prediction in predictions}
    if all(path.endswith(".png") for path in masks):
        with Image.open(min(masks)) as file:
            turned = file.transpose(Image.Transpose.TRANSPOSE)
        turned.save(min(masks))
        with pytest.raises(ValueError, match=re.escape(min(masks))):
            match_predictions(folder, encoding, samples, cases)
