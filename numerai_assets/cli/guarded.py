"""The end of a command that cannot do its work: one line, no traceback."""

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from numerai_assets.errors import NumeraiAssetsError


def guarded(command: Callable[..., None]) -> Callable[..., None]:
    """Turns an error of this project into one line on stderr and exit status 1."""

    @wraps(command)
    def _command(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except NumeraiAssetsError as error:
            click.echo(f"numerai: {error}", err=True)
            sys.exit(1)

    return _command
