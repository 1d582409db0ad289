"""All commands of the command line by their full names, such as ``tunevlseg datasets check``."""

from __future__ import annotations

from collections.abc import Iterator

from click import Command
from typer.main import get_command

from monai_tunevlseg.__main__ import app


def _walk(command: Command, name: str) -> Iterator[tuple[str, Command]]:
    yield name, command
    for word, below in getattr(command, "commands", {}).items():
        yield from _walk(below, f"{name} {word}")


COMMANDS = dict(_walk(get_command(app), "tunevlseg"))
OPTIONS = {
    name: {option for parameter in command.params for option in parameter.opts} for name, command in COMMANDS.items()
}
