"""Finding everything that is wrong in a dataset's folder before saying so."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from monai_tunevlseg.data.cases import Case, shorten
from monai_tunevlseg.data.pictures import turned_by_exif

__all__ = ["DatasetError", "Problem", "finish", "map_files", "other_size", "problem_of"]

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Args:
        kind: one word for programs: missing, unreadable, size, coding and so on.
        message: one sentence that names what it is about, and the way out.
        files: all that it is about, where the sentence names the first few.
    """

    kind: str
    message: str
    files: tuple[str, ...] = ()


class DatasetError(ValueError):
    """Everything that is wrong in a dataset's folder.

    Args:
        problems: one or more.
        cases: what is right nevertheless.
    """

    def __init__(self, problems: Sequence[Problem], cases: Sequence[Case]) -> None:
        messages = [problem.message for problem in problems]
        super().__init__(messages[0] if len(messages) == 1 else f"{len(messages)} problems: {shorten(messages)}")
        self.problems = list(problems)
        self.cases = list(cases)


def map_files(
    function: Callable[[Item], Result | Problem], items: Sequence[Item], paths_of: Callable[[Item], Sequence[Path]]
) -> tuple[list[Result], list[Problem]]:
    """Call a function that reads files for each item, on all cores.

    Args:
        function: reads what belongs to one item. A problem that it returns, or an OSError, ValueError or MemoryError
            that it raises, does not stop the others.
        items: what it is called with.
        paths_of: gives the files that it reads.

    Returns:
        what it read, in the order of the items, and the problems.
    """

    def attempt(item: Item) -> Result | Problem:
        try:
            return function(item)
        except (OSError, ValueError, MemoryError) as error:
            return problem_of(error, paths_of(item))

    with ThreadPoolExecutor() as pool:
        outcomes = list(pool.map(attempt, items))
    read = [outcome for outcome in outcomes if not isinstance(outcome, Problem)]
    return read, [outcome for outcome in outcomes if isinstance(outcome, Problem)]


def problem_of(error: Exception, paths: Sequence[Path]) -> Problem:
    """Turn an error into a problem with those of the files that its message names, or all where it names none."""
    kind = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
    message = str(error)
    if isinstance(error, MemoryError):
        message = f"{' and '.join(map(str, paths))} need more memory than there is; make them smaller or cut them."
    named = tuple(str(path) for path in paths if str(path) in message)
    return Problem(kind, message, named or tuple(map(str, paths)))


def other_size(image: Path, image_size: Sequence[int], mask: Path, mask_size: Sequence[int]) -> Problem:
    """Say that a mask has not the size of its image."""
    sizes = [" x ".join(map(str, size)) for size in (mask_size, image_size)]
    turned = turned_by_exif(image, image_size, mask_size)
    message = f"{mask} is {sizes[0]} but its image {image} {sizes[1]}; a mask must have the size of its image{turned}."
    return Problem("size", message, (str(image), str(mask)))


def finish(cases: Iterable[Case], problems: Sequence[Problem]) -> list[Case]:
    """Return the cases, sorted by stem.

    Raises:
        DatasetError: when there are problems.
    """
    listed = sorted(cases, key=lambda case: case.stem)
    if problems:
        raise DatasetError(problems, listed)
    return listed
