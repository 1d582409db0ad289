"""The registry of forms that a dataset is written in: one file for each, and one line here."""

from monai_tunevlseg.data.forms import folder, nnunet
from monai_tunevlseg.data.forms._base import ConvertedDataset, Form
from monai_tunevlseg.registry import Registry

__all__ = ["FORMS", "ConvertedDataset", "Form"]

FORMS: Registry[Form] = Registry("dataset form")
FORMS.register("folder", folder.FORM)
FORMS.register("nnunet", nnunet.FORM)
