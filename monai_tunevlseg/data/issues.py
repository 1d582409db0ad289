"""Issues of a dataset's folder, collected before they are reported."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from monai_tunevlseg.data.io.pictures import exif_hint
from monai_tunevlseg.data.samples import Case
from monai_tunevlseg.messages import shorten

__all__ = ["DatasetError", "DatasetIssue", "sorted_or_raise", "map_files", "size_issue", "issue_from_error"]

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class DatasetIssue:
    """One error or warning about a dataset.

    Args:
        kind: a short name for programs: missing, unreadable, size, encoding and so on.
        message: one sentence that names the cause and the remedy.
        files: all files concerned, of which the sentence names the first few.
    """

    kind: str
    message: str
    files: tuple[str, ...] = ()


class DatasetError(ValueError):
    """All errors of a dataset's folder.

    Args:
        issues: one or more issues.
        cases: the cases without an issue.
    """

    def __init__(self, issues: Sequence[DatasetIssue], cases: Sequence[Case]) -> None:
        messages = [issue.message for issue in issues]
        super().__init__(messages[0] if len(messages) == 1 else f"{len(messages)} issues: {shorten(messages)}")
        self.issues = list(issues)
        self.cases = list(cases)


def map_files(
    function: Callable[[Item], Result | DatasetIssue], items: Sequence[Item], paths_of: Callable[[Item], Sequence[Path]]
) -> tuple[list[Result], list[DatasetIssue]]:
    """Call a function that reads files for each item, on all cores.

    Args:
        function: reads the files of one item. An issue that it returns, or an OSError, ValueError or MemoryError that
            it raises, does not stop the others.
        items: its arguments.
        paths_of: returns the files of an item.

    Returns:
        the results, in the order of the items, and the issues.
    """

    def attempt(item: Item) -> Result | DatasetIssue:
        try:
            return function(item)
        except (OSError, ValueError, MemoryError) as error:
            return issue_from_error(error, paths_of(item))

    with ThreadPoolExecutor() as pool:
        outcomes = list(pool.map(attempt, items))
    read = [outcome for outcome in outcomes if not isinstance(outcome, DatasetIssue)]
    return read, [outcome for outcome in outcomes if isinstance(outcome, DatasetIssue)]


def issue_from_error(error: Exception, paths: Sequence[Path]) -> DatasetIssue:
    """Turn an error into an issue with the files that its message names, or with all files when it names none."""
    kind = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
    message = str(error)
    if isinstance(error, MemoryError):
        message = f"{' and '.join(map(str, paths))} need more memory than is available; make them smaller or crop them."
    named = tuple(str(path) for path in paths if str(path) in message)
    return DatasetIssue(kind, message, named or tuple(map(str, paths)))


def size_issue(image: Path, image_size: Sequence[int], mask: Path, mask_size: Sequence[int]) -> DatasetIssue:
    """Return the issue of a mask that differs from its image in size."""
    sizes = [" x ".join(map(str, size)) for size in (mask_size, image_size)]
    turned = exif_hint(image, image_size, mask_size)
    message = f"{mask} is {sizes[0]} but its image {image} {sizes[1]}; a mask must have the size of its image{turned}."
    return DatasetIssue("size", message, (str(image), str(mask)))


def sorted_or_raise(cases: Iterable[Case], issues: Sequence[DatasetIssue]) -> list[Case]:
    """Return the cases, sorted by stem.

    Raises:
        DatasetError: when there are issues.
    """
    listed = sorted(cases, key=lambda case: case.stem)
    if issues:
        raise DatasetError(issues, listed)
    return listed
