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
import uvicorn

from numerai_assets.sandbox.server import serve as server
from numerai_assets.sandbox.server.app import create_app
from numerai_assets.sandbox.tournament.local import LocalTournament
from numerai_assets.sandbox.tournament.state import PUBLIC_ID, SECRET_KEY


@dataclass(frozen=True)
class Served:
    """A sandbox that answers at `url`, and its inside."""

    url: str
    tournament: LocalTournament

    def client(self, public_id: str = PUBLIC_ID, secret_key: str = SECRET_KEY) -> Any:
        """The unmodified numerapi."""
        return numerapi.NumerAPI(public_id, secret_key, verbosity="CRITICAL", show_progress_bars=False)

    def advance(self, to: str) -> None:
        self.tournament.advance(to)

    def predictions(self, seed: int = 0) -> pd.DataFrame:
        """A valid submission to the open round."""
        open_round = self.tournament.view.open_round
        assert open_round is not None
        ids = self.tournament.world.live(open_round.number).index
        values = (np.random.default_rng(seed).permutation(len(ids)) + 0.5) / len(ids)
        return pd.DataFrame({"id": ids, "prediction": values})


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
