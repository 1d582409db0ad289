"""Orthanc with its DICOMweb plugin on a local port, and a small study."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import requests
from label_fixtures import SIZE, circle_mask
from label_server import free_port, started
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

ORTHANC = shutil.which("Orthanc")
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
INSTALLED = ORTHANC is not None and PLUGIN.exists()
SLICES = 6
SHOWN = (1, 2, 3)
"""The slices that show the discs."""


@contextmanager
def orthanc(folder: Path) -> Iterator[str]:
    """Run an empty Orthanc with its data in a folder, and yield its address."""
    port = free_port()
    config = {
        "Name": "Test",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "index"),
        "Plugins": [str(PLUGIN)],
        "HttpPort": port,
        "DicomServerEnabled": False,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "EnableWado": True, "WadoRoot": "/wado"},
    }
    folder.mkdir()
    (folder / "orthanc.json").write_text(json.dumps(config))
    url = f"http://127.0.0.1:{port}"
    with started([str(ORTHANC), str(folder / "orthanc.json")], f"{url}/system", folder / "orthanc.log"):
        yield url


def store_study(url: str) -> tuple[str, str]:
    """Store a CT of bright discs, written with pydicom; return the UIDs of its study and series."""
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    rng = np.random.default_rng(0)
    for index in range(SLICES):
        pixels = rng.normal(40, 5, SIZE) + (index in SHOWN) * 160 * circle_mask()
        file = io.BytesIO()
        _slice(index, pixels, study, series, frame).save_as(file, write_like_original=False)
        requests.post(f"{url}/instances", data=file.getvalue(), timeout=30).raise_for_status()
    return study, series


def _slice(index: int, pixels: np.ndarray, study: str, series: str, frame: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    instance = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    instance.is_little_endian, instance.is_implicit_VR = True, False
    values = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "StudyInstanceUID": study,
        "SeriesInstanceUID": series,
        "FrameOfReferenceUID": frame,
        "Modality": "CT",
        "PatientName": "Phantom^Discs",
        "PatientID": "PHANTOM",
        "PatientBirthDate": "",
        "PatientSex": "O",
        "StudyID": "1",
        "StudyDate": "20260101",
        "StudyTime": "120000",
        "AccessionNumber": "1",
        "ReferringPhysicianName": "",
        "StudyDescription": "Discs",
        "SeriesDescription": "Discs",
        "SeriesNumber": 1,
        "InstanceNumber": index + 1,
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "ImagePositionPatient": [-60.0, -48.0, 2.5 * index],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "PixelSpacing": [0.8, 0.8],
        "SliceThickness": 2.5,
        "Rows": SIZE[0],
        "Columns": SIZE[1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 1,
        "RescaleIntercept": 0,
        "RescaleSlope": 1,
        "WindowCenter": 120,
        "WindowWidth": 240,
        "PixelData": pixels.astype("<i2").tobytes(),
    }
    for name, value in values.items():
        setattr(instance, name, value)
    return instance
