"""A whole benchmark: entry after entry, alone or with other workers, from wherever it was interrupted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import Timeout

from monai_tunevlseg.benchmark.entries import VARIANTS, Entry
from monai_tunevlseg.benchmark.formatting import seconds_text
from monai_tunevlseg.benchmark.planning import all_entries, estimate_seconds
from monai_tunevlseg.benchmark.results import FORMAT_VERSION, write_json
from monai_tunevlseg.benchmark.running import BenchmarkSettings, EntryRunner, entry_lock
from monai_tunevlseg.config_values import refuse_expressions
from monai_tunevlseg.json_files import read_json_object
from monai_tunevlseg.search import Limits

__all__ = ["Campaign", "join_plan", "write_plan"]

PLAN = "benchmark.json"

logger = logging.getLogger(__name__)


def write_plan(
    results_dir: Path, entries: Sequence[Entry], settings: BenchmarkSettings, configs_dir: Path
) -> list[Entry]:
    """Write ``benchmark.json``, and return all that is planned: these entries and those of an earlier plan.

    Raises:
        ValueError: when the folder has results with other settings than a higher number of trials, or a fixed value
            is an expression.
    """
    wanted = settings.stored()
    refuse_expressions(wanted["fixed"], "--override")  # workers read it from a file, where it could be anybody's
    earlier: list[Entry] = []
    if (results_dir / PLAN).is_file():
        earlier, before = _read_plan(results_dir, configs_dir)
        for name in ("objective", "seed", "fixed"):
            if before.get(name) != wanted[name]:
                raise ValueError(
                    f"{results_dir} has results with {name} {before.get(name)!r}, and not {wanted[name]!r}; choose "
                    "another folder with --results."
                )
    planned = list(dict.fromkeys([*earlier, *entries]))
    content = {"format_version": FORMAT_VERSION, "entries": [entry.name for entry in planned], "settings": wanted}
    write_json(results_dir / PLAN, content)
    return planned


def join_plan(
    results_dir: Path, storage: str | None, configs_dir: Path, limits: Limits | None = None
) -> tuple[list[Entry], BenchmarkSettings]:
    """Return the entries and settings of a benchmark that was begun elsewhere.

    Raises:
        FileNotFoundError: when none was begun in this folder.
        ValueError: when its plan is damaged or of another format version.
    """
    if not (results_dir / PLAN).is_file():
        raise FileNotFoundError(f"there is no {results_dir / PLAN}; a worker joins a benchmark that was begun there.")
    entries, settings = _read_plan(results_dir, configs_dir)
    return entries, replace(BenchmarkSettings(**settings), storage=storage, limits=limits or Limits())


def _read_plan(results_dir: Path, configs_dir: Path) -> tuple[list[Entry], dict[str, Any]]:
    path = results_dir / PLAN
    try:
        content = read_json_object(path)
        known = {entry.name: entry for entry in _with_variants(all_entries(configs_dir))}
        entries = [known[name] for name in content["entries"]]
        settings = dict(content["settings"])
        refuse_expressions(settings, str(path))
        BenchmarkSettings(**settings)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({_in_words(error)}); remove it, the results stay.") from error
    if content.get("format_version") != FORMAT_VERSION:
        raise ValueError(f"{path} has format version {content.get('format_version')!r}, not {FORMAT_VERSION}.")
    return entries, settings


def _in_words(error: Exception) -> str:
    return str(error).rstrip(".") if isinstance(error, ValueError) else repr(error)


def _with_variants(entries: Sequence[Entry]) -> list[Entry]:
    return [*entries, *(replace(entry, variant=variant) for entry in entries for variant in VARIANTS)]


@dataclass
class Campaign:
    """Runs the entries of a benchmark that are not finished.

    Attributes:
        entries: in the order in which they are run.
        runner: runs one.
        say: gets a line for whoever watches.
        failures: what went wrong, by entry.
    """

    entries: Sequence[Entry]
    runner: EntryRunner
    say: Callable[[str], None]
    failures: dict[Entry, str] = field(default_factory=dict)

    def run(self) -> None:
        """Run all: first what nobody else runs, then help with what others have begun."""
        done = self._taken()
        self.say(f"{len(self.entries)} entries, {len(done)} of them finished before")
        for entry in self.entries:
            if entry not in done:
                self._run(entry, wait=False)
        for entry in self._remaining():
            if entry not in self.failures:
                self._run(entry, wait=True)

    def _run(self, entry: Entry, wait: bool) -> None:
        lock = entry_lock(self.runner.results_dir, entry)
        try:
            if wait:
                self.runner.sweep(entry)
            with lock.acquire(timeout=-1 if wait else 0):
                if self.runner.finished_seconds(entry) is None:
                    self.say(f"{entry.name} ...")
                    self.runner.run(entry)
        except Timeout:
            return  # another worker has it
        except Exception as error:  # whatever ends one entry must not end the others
            logger.exception(f"{entry.name} failed")
            self.failures[entry] = str(error) or repr(error)
            write_json(self.runner.results_dir / entry.name / "failure.json", {"message": self.failures[entry]})
            self.say(f"{entry.name} failed: {self.failures[entry]}")
            return
        self._progress()

    def _progress(self) -> None:
        remaining, taken = self._remaining(), self._taken()
        left = estimate_seconds([entry for entry in remaining if entry not in self.failures], taken)
        about = "" if left is None or not remaining else f", about {seconds_text(left)} of work left"
        self.say(f"{len(self.entries) - len(remaining)} of {len(self.entries)} entries are finished{about}")

    def _remaining(self) -> list[Entry]:
        taken = self._taken()
        return [entry for entry in self.entries if entry not in taken]

    def _taken(self) -> dict[Entry, float]:
        seconds = {entry: self.runner.finished_seconds(entry) for entry in self.entries}
        return {entry: value for entry, value in seconds.items() if value is not None}
