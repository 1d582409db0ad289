"""Finding everything that is wrong in a dataset's folder before saying so."""

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
    """One thing that is wrong.

    Args:
        kind: one word for programs: missing, unreadable, size, encoding and so on.
        message: one sentence that names what it is about, and the way out.
        files: all that it is about, where the sentence names the first few.
    """

    kind: str
    message: str
    files: tuple[str, ...] = ()


class DatasetError(ValueError):
    """Everything that is wrong in a dataset's folder.

    Args:
        issues: one or more.
        cases: what is right nevertheless.
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
        function: reads what belongs to one item. A issue that it returns, or an OSError, ValueError or MemoryError
            that it raises, does not stop the others.
        items: what it is called with.
        paths_of: gives the files that it reads.

    Returns:
        what it read, in the order of the items, and the issues.
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
    """Turn an error into a issue with those of the files that its message names, or all where it names none."""
    kind = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
    message = str(error)
    if isinstance(error, MemoryError):
        message = f"{' and '.join(map(str, paths))} need more memory than there is; make them smaller or cut them."
    named = tuple(str(path) for path in paths if str(path) in message)
    return DatasetIssue(kind, message, named or tuple(map(str, paths)))


def size_issue(image: Path, image_size: Sequence[int], mask: Path, mask_size: Sequence[int]) -> DatasetIssue:
    """Say that a mask has not the size of its image."""
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
