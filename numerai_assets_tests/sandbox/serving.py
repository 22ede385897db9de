"""A sandbox served to a test in a thread of its own."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numerapi
import numerapi.base_api
import numpy as np
import pandas as pd
import pytest
import uvicorn

from numerai_assets.sandbox.server import serve as server
from numerai_assets.sandbox.server.app import SERVER_FOLDER, create_app
from numerai_assets.sandbox.tournament.local import LocalTournament
from numerai_assets.sandbox.tournament.state import PUBLIC_ID, SECRET_KEY
from numerai_assets.sandbox.world.history import World

FIRST_ROUND = 326
"""The round that a fresh tiny sandbox has open: the weekend of era 0640."""


def started(world_dir: Path) -> LocalTournament:
    """The tournament of a World, as a server that starts has it."""
    tournament = LocalTournament(World.open(world_dir), world_dir / SERVER_FOLDER)
    tournament.start()
    return tournament


def cut_short(tournament: LocalTournament, to: str) -> None:
    """Begins an advance that is killed before the release of its round is written."""
    with pytest.MonkeyPatch.context() as broken:
        broken.setattr(World, "write_release", _die)
        with pytest.raises(KeyboardInterrupt):
            tournament.advance(to)


def _die(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def valid_predictions(world: World, round_number: int, seed: int = 0) -> pd.DataFrame:
    """A valid submission to an opened round."""
    ids = world.live(round_number).index
    values = (np.random.default_rng(seed).permutation(len(ids)) + 0.5) / len(ids)
    return pd.DataFrame({"id": ids, "prediction": values})


@dataclass(frozen=True)
class Served:
    """A sandbox that answers at `url`, and its inside."""

    url: str
    tournament: LocalTournament

    def client(self, public_id: str = PUBLIC_ID, secret_key: str = SECRET_KEY) -> Any:
        """The unmodified numerapi."""
        return numerapi.NumerAPI(public_id, secret_key, verbosity="CRITICAL", show_progress_bars=False)

    def slot(self, name: str = "sandbox_one") -> str:
        """The id of a model slot."""
        identity: str = self.client().get_models()[name]
        return identity

    def ask(self, query: str, **variables: Any) -> Any:
        """The data that GraphQL answers."""
        return self.client().raw_query(query, variables, authorization=True)["data"]

    def advance(self, to: str) -> None:
        self.tournament.advance(to)

    def predictions(self, seed: int = 0) -> pd.DataFrame:
        """A valid submission to the open round."""
        open_round = self.tournament.view.open_round
        assert open_round is not None
        return valid_predictions(self.tournament.world, open_round.number, seed)


@contextlib.contextmanager
def served(world_dir: Path) -> Iterator[Served]:
    """Serves a World's sandbox in a thread and points numerapi at it."""
    app = create_app(world_dir)
    running = uvicorn.Server(server.config(app, free_port()))
    thread = threading.Thread(target=running.run)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    url = f"http://127.0.0.1:{running.config.port}"
    before, numerapi.base_api.API_TOURNAMENT_URL = numerapi.base_api.API_TOURNAMENT_URL, url
    try:
        yield Served(url, app.state.tournament)
    finally:
        numerapi.base_api.API_TOURNAMENT_URL = before
        running.should_exit = True
        thread.join()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
