"""Serves one sandbox on loopback: `python -m numerai_assets.sandbox.server.serve --world DIR --port P`."""

import argparse
import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import uvicorn
from filelock import FileLock, Timeout
from starlette.types import ASGIApp

from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.server.app import SERVER_FOLDER, create_app
from numerai_assets.sandbox.server.connection import SeverableProtocol
from numerai_assets.sandbox.tournament.state import MODEL_NAMES
from numerai_assets.sandbox.world.history import World

HOST = "127.0.0.1"


def command(world_dir: Path, port: int, models: Sequence[str] = MODEL_NAMES) -> list[str]:
    """The command line of a server process."""
    module = ["-m", "numerai_assets.sandbox.server.serve"]
    return [sys.executable, *module, "--world", str(world_dir), "--port", str(port), "--models", *models]


def serve(app: ASGIApp, port: int) -> None:
    """Serves until SIGTERM or SIGINT."""
    uvicorn.Server(config(app, port)).run()


def config(app: ASGIApp, port: int) -> uvicorn.Config:
    """Uvicorn on loopback that can cut connections, without its own Date header, which would be the real time."""
    return uvicorn.Config(
        app,
        host=HOST,
        port=port,
        http=SeverableProtocol,
        date_header=False,
        server_header=False,
        access_log=False,
        log_level="info",
        timeout_graceful_shutdown=5,
    )


@contextlib.contextmanager
def _alone(world_dir: Path) -> Iterator[None]:
    """Locks the World of `world_dir`: only one process at a time may change it."""
    World.open(world_dir)
    folder = world_dir / SERVER_FOLDER
    folder.mkdir(exist_ok=True)
    try:
        with FileLock(folder / "serving.lock", timeout=0):
            yield
    except Timeout:
        raise SandboxError(f"{world_dir}: another process already serves this sandbox; stop it first") from None


def main(arguments: list[str] | None = None) -> int:
    """Command line entry: returns 0 after an orderly stop, 1 after one line on stderr when the sandbox cannot run."""
    parser = argparse.ArgumentParser(prog="python -m numerai_assets.sandbox.server.serve", description=__doc__)
    parser.add_argument("--world", type=Path, required=True, help="folder of the World")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--models", nargs="+", default=MODEL_NAMES, help="model slots that the account must have")
    options = parser.parse_args(arguments)
    try:
        if sys.flags.optimize:
            raise SandboxError(
                "Python runs without assertions (-O or PYTHONOPTIMIZE): numerai-tools would check nothing"
            )
        with _alone(options.world):
            serve(create_app(options.world, options.models), options.port)
    except SandboxError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
