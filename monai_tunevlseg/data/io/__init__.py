"""Readers and writers of images, masks and label maps.

A *picture* is a file in PNG, JPEG, BMP, GIF or TIFF. A *volume* is a file in NIfTI, MetaImage or NRRD, of two or three
dimensions. `reading` reads both; it is the entry for other rooms. An *upright* array is oriented as viewers display the
image: (H, W) of a picture or a flat image, and (S, A, R) of a volume, from superior to inferior, anterior to posterior
and the patient's right to left.

Readers raise FileNotFoundError for a missing file, and ValueError, which names the file, for one that cannot be decoded
or whose suffix is not supported (see `decoding_errors`). Their docstrings list further reasons only.
"""
