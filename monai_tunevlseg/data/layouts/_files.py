"""Finding the folders and files of a dataset's archive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from monai_tunevlseg.data.image_files import list_subfolders
from monai_tunevlseg.messages import shorten

__all__ = ["find_folder_pair", "find_root", "file_inside", "has_folders", "nested_folder", "read_names"]


def file_inside(folder: Path, name: str, source: Path) -> Path:
    """Return the path of a listed file, which must lie in the folder.

    Args:
        folder: the folder of the file.
        name: its path in the folder, with `/`.
        source: the list, for the message.

    Raises:
        ValueError: when the path leaves the folder.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or "\0" in name or Path(name).is_absolute() or not path.parts:
        raise ValueError(f"{source} names the file {name!r}, which is not in {folder}; name files in that folder only.")
    return folder / name


def read_names(path: Path) -> list[str]:
    """Read a text file of names, separated by blanks or line ends.

    Raises:
        FileNotFoundError: when the file does not exist.
        ValueError: when it is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig").split()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a list of names in UTF-8 (byte {error.start}); save it as UTF-8.") from error


def find_root(dataset_dir: Path, is_root: Callable[[Path], bool], wanted: str) -> Path:
    """Find the root folder of a dataset: the given folder, or the only matching folder in it.

    Args:
        dataset_dir: the given folder.
        is_root: returns whether a folder is the root.
        wanted: the required content of the root, for the message.

    Raises:
        FileNotFoundError: when no folder matches.
        ValueError: when several folders match.
    """
    if is_root(dataset_dir):
        return dataset_dir
    found = [folder for folder in list_subfolders(dataset_dir) if is_root(folder)]
    if not found:
        held = shorten(f"{folder.name}/" for folder in list_subfolders(dataset_dir)) or "no folders"
        raise FileNotFoundError(
            f"neither {dataset_dir} nor a folder in it has {wanted}; it holds {held}: unpack the dataset there, rename "
            "its folders, or read them with the layout folder."
        )
    if len(found) > 1:
        names = shorten(folder.name for folder in found)
        raise ValueError(f"{dataset_dir} has {wanted} in several of its folders: {names}; set dataset_dir to one.")
    return found[0]


def find_folder_pair(dataset_dir: Path, forms: Sequence[tuple[str, str]], name: str) -> tuple[Path, Path]:
    """Find the folders of images and masks of a dataset, in the given folder or the only matching folder in it.

    Args:
        dataset_dir: the given folder.
        forms: the paths of both folders in the dataset's root; earlier ones take precedence.
        name: the dataset's name, for the message.

    Raises:
        FileNotFoundError: when no folder has such folders.
        ValueError: when several folders have them.
    """

    def existing(folder: Path) -> list[tuple[Path, Path]]:
        pairs = [(folder / images, folder / masks) for images, masks in forms]
        return [(images, masks) for images, masks in pairs if images.is_dir() and masks.is_dir()]

    wanted = " or ".join(f"{images}/ and {masks}/" for images, masks in forms)
    root = find_root(dataset_dir, lambda folder: bool(existing(folder)), f"{wanted} (dataset {name})")
    return existing(root)[0]


def has_folders(*names: str) -> Callable[[Path], bool]:
    """Return a function for `find_root`: whether a folder holds the folders of these names."""
    return lambda folder: all((folder / name).is_dir() for name in names)


def nested_folder(folder: Path) -> Path:
    """Return the folder of the same name in a folder, as some archives have it, or else the folder itself."""
    return folder / folder.name if (folder / folder.name).is_dir() else folder
