"""Sandbox servers forked off a process that has the libraries loaded: they start in a tenth of the time."""

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import IO

import pytest

from numerai_assets.sandbox.server import process, serve
from rehearsals.forks import FORKS


class ForkedServer:
    """The part of `subprocess.Popen` that `process.start` uses."""

    def __init__(self, command: Sequence[str], *, stdout: IO[bytes], **_: object) -> None:
        # Daemonic: a server that a test forgot ends with the test's process.
        self._process = FORKS.Process(target=_serve, args=(list(command[3:]), stdout.name), daemon=True)
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode


def _serve(arguments: list[str], log: str) -> None:
    os.setsid()
    output = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(output, sys.stdout.fileno())
    os.dup2(output, sys.stderr.fileno())
    sys.exit(serve.main(arguments))


@contextlib.contextmanager
def forked_servers() -> Iterator[None]:
    """`process.start` forks the servers that it starts."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(process, "subprocess", SimpleNamespace(Popen=ForkedServer, DEVNULL=None, STDOUT=None))
        yield
