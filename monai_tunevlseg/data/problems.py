"""Finding everything that is wrong in a dataset's folder before saying so."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from monai_tunevlseg.data.cases import Case, shorten

__all__ = ["DatasetError", "Problem", "finish", "map_files"]

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
    function: Callable[[Item], Result | Problem], items: Sequence[Item], path_of: Callable[[Item], Path]
) -> tuple[list[Result], list[Problem]]:
    """Call a function that reads files for each item, on all cores.

    Args:
        function: reads what belongs to one item. A problem that it returns, or an OSError or ValueError that it raises,
            does not stop the others.
        items: what it is called with.
        path_of: gives the file that an error is filed under.

    Returns:
        what it read, in the order of the items, and the problems.
    """

    def attempt(item: Item) -> Result | Problem:
        try:
            return function(item)
        except (OSError, ValueError) as error:
            kind = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
            return Problem(kind, str(error), (str(path_of(item)),))

    with ThreadPoolExecutor() as pool:
        outcomes = list(pool.map(attempt, items))
    read = [outcome for outcome in outcomes if not isinstance(outcome, Problem)]
    return read, [outcome for outcome in outcomes if isinstance(outcome, Problem)]


def finish(cases: Iterable[Case], problems: Sequence[Problem]) -> list[Case]:
    """Return the cases, sorted by stem.

    Raises:
        DatasetError: when there are problems.
    """
    listed = sorted(cases, key=lambda case: case.stem)
    if problems:
        raise DatasetError(problems, listed)
    return listed
