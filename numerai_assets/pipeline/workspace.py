"""Everything that belongs to one tournament, in one object: its folders and the door to its server."""

import datetime as dt
import json
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

from numerai_assets.eras import live_key
from numerai_assets.errors import ReleaseError, TournamentError, Unreachable
from numerai_assets.pipeline.alerts import Alerts
from numerai_assets.pipeline.block_columns import BlockColumns
from numerai_assets.pipeline.spec import Specs
from numerai_assets.settings import Settings
from numerai_assets.store.atomic import write_json
from numerai_assets.store.cache import ContentCache
from numerai_assets.store.column_store import EngineeredStore
from numerai_assets.store.era_store import EraStore
from numerai_assets.store.holdout_ledger import HoldoutLedger
from numerai_assets.store.prediction_store import PredictionStore
from numerai_assets.store.vintage_store import VintageStore
from numerai_assets.tournament.client import Round, Tournament
from numerai_assets.tournament.release import TRAIN, Release
from numerai_assets.tournament.submission import SubmissionDesk


class Workspace:
    """The folders under `settings.workspace` and the tournament the settings name. Holds no secret."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.specs = Specs(settings)
        self.folder = folder = settings.workspace
        self.rounds_folder, self.scores_path = folder / "rounds", folder / "scores.parquet"
        self.store = EraStore(
            folder / "store", cache=ContentCache(folder / "cache", int(settings.cache_gigabytes * 1e9))
        )
        self.engineered = EngineeredStore(folder / "engineered")
        self.vintages = VintageStore(folder / "vintages")
        # Vintages of learned feature blocks, stored as those of methods are.
        self.fitted_blocks = VintageStore(folder / "fitted_blocks")
        self.predictions = PredictionStore(folder / "predictions")
        self.desk = SubmissionDesk(self.rounds_folder)
        self.holdout_ledger = HoldoutLedger(folder / "holdout_ledger.jsonl")
        self.alerts = Alerts(folder / "alerts.jsonl")

    @cached_property
    def tournament(self) -> Tournament:
        return Tournament(self.settings)

    @property
    def release(self) -> Release:
        return Release(self.folder / "release" / self.settings.data_version)

    def last_train_era(self) -> int:
        """The newest era of the training file on disk. Raises ReleaseError when there is none."""
        train = self.release.manifest(TRAIN)
        if train is None:
            raise ReleaseError(f"{TRAIN}: not on disk; run `numerai weekly` first")
        return train.newest_era

    def round_release(self, round_number: int) -> Release:
        """The files that were new at one round; kept, so that any live prediction can be made again."""
        return Release(self.rounds_folder / str(round_number) / self.settings.data_version)

    def remember_round(self, current: Round) -> None:
        """Keeps what the tournament says of a round, for when it no longer does; a round may close early."""
        path = self._round_path(current.number)
        if not path.is_file() or self.round(current.number) != current:
            write_json(path, {name: value.isoformat() for name, value in asdict(current).items() if name != "number"})

    def round(self, number: int) -> Round:
        """A round seen before. Raises TournamentError for one that was not."""
        path = self._round_path(number)
        if not path.is_file():
            raise TournamentError(
                f"round {number}: never seen open here; only the open round and earlier ones can be used"
            )
        known = json.loads(path.read_text(encoding="utf-8"))
        return Round(
            number=number,
            opens=dt.datetime.fromisoformat(known["opens"]),
            closes=dt.datetime.fromisoformat(known["closes"]),
            data_day=dt.date.fromisoformat(known["data_day"]),
        )

    def set_aside_live(self, number: int) -> Path:
        """Sets a round's live files aside, so that they are downloaded again; returns their new place."""
        place = self.round_release(number).folder
        kept = place.parent / f"refused-{len(list(place.parent.glob('refused-*'))) + 1}"
        self.store.forget(live_key(number))
        place.rename(kept)
        return kept

    def known_rounds(self) -> list[int]:
        """Numbers of the rounds seen here, ascending."""
        return sorted(int(path.parent.name) for path in self.rounds_folder.glob("*/round.json"))

    def _round_path(self, number: int) -> Path:
        return self.rounds_folder / str(number) / "round.json"

    def alert(self, key: str, text: str) -> None:
        """Tells a person, once a key, at the tournament's time or, when it does not answer, at this machine's."""
        try:
            now = self.tournament.now()
        except Unreachable:
            now = dt.datetime.now(dt.UTC)
        self.alerts.alert(key, text, now)

    def block_columns(self) -> BlockColumns:
        """The columns of feature blocks, for one run."""
        return BlockColumns(
            self.store,
            self.engineered,
            self.specs,
            feature_sets=self.feature_sets,
            cleaning=self.settings.cleaning.missing,
        )

    def feature_sets(self) -> dict[str, tuple[str, ...]]:
        """Features of each set of features.json that the store holds; one that a later release added is in no stored era."""
        held = set(self.store.feature_names)
        sets = self.release.features()
        return {name: tuple(feature for feature in features if feature in held) for name, features in sets.items()}

    def diagnostics_path(self, method: str) -> Path:
        """Per-era scores of a method, as Parquet."""
        return self.folder / "diagnostics" / f"{method}.parquet"

    def importances_path(self, method: str) -> Path:
        """What matters to a method, a row a feature, as Parquet."""
        return self.folder / "explanations" / f"{method}.parquet"

    def importances_by_era_path(self, method: str) -> Path:
        """The same, a row an era and feature."""
        return self.folder / "explanations" / "by_era" / f"{method}.parquet"
