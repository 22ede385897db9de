"""A market's history, encoded the way Numerai publishes it, on disk in one folder.

    world.json          recipe of the world, and its newest era; written last
    features.json       names, sets, targets
    market/             checkpoints of the synthetic market
    eras/<era>/         features, rows (ids, stocks, exposures, oracle), targets_20, targets_60, predictions
    rounds/<round>/     the same of live rows
    models/<era>/       the rivals fitted when that era began
    published/          finished files that several releases share

Stocks and oracle never leave the folder: a release has only what Numerai would publish.
"""

import datetime as dt
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from numerai_assets.eras import HORIZONS, era_label, era_on, friday_of, live_key, resolved_through
from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.calendar.rounds import round_by_number
from numerai_assets.sandbox.market.economy import Dials
from numerai_assets.sandbox.market.oracle import COMPONENTS
from numerai_assets.sandbox.market.protocol import Market
from numerai_assets.sandbox.published import encoder, names
from numerai_assets.sandbox.published.files import whole_folder, write_text
from numerai_assets.sandbox.published.prediction_names import BENCHMARK_NAMES, PREDICTIONS
from numerai_assets.sandbox.published.release_writer import FEATURES_JSON
from numerai_assets.sandbox.published.sizes import SIZES, fit_to_prices
from numerai_assets.sandbox.world.era_files import EraFiles, era_files, round_files
from numerai_assets.sandbox.world.publisher import Publisher
from numerai_assets.sandbox.world.recipe import WorldRecipe, open_market, read_recipe
from numerai_assets.sandbox.world.rivals import Rivals, meta_model

MARKETS = ("synthetic", "prices")
Progress = Callable[[str, int, int], None]


class World:
    """A market's history, encoded the way Numerai publishes it, on disk in one folder.

    It is determined by its seed. Only one process at a time may change a world; any number may read it.
    """

    def __init__(self, directory: Path, recipe: WorldRecipe, newest_era: int, market: Market | None = None) -> None:
        self.directory = directory
        self.newest_era = newest_era
        self.recipe = recipe
        self._opened_market = market

    @property
    def seed(self) -> int:
        return self.recipe.seed

    @property
    def feature_names(self) -> tuple[str, ...]:
        return self.recipe.feature_names

    @property
    def first_era(self) -> int:
        """First era of the training data."""
        return self.recipe.size.first_era

    @property
    def last_era(self) -> int:
        """The last era that `advance_era` can reach."""
        return self._market.last_era

    @classmethod
    def create(
        cls,
        directory: Path,
        *,
        market: str = "synthetic",
        size: str = "default",
        seed: int = 0,
        prices: Path | None = None,
        features_json: Path | None = None,
        dials: Dials | None = None,
        progress: Progress | None = None,
    ) -> "World":
        """Create a world in `directory`, which must be absent or empty; complete or not at all.

        prices: the daily price panel of market "prices". features_json: a real features.json to take names from.
        dials: strength of each structure of the synthetic economy, if not the default.
        progress is called with (stage, done, total). SandboxError for an unknown market or size, or unusable input.
        """
        if directory.exists() and any(directory.iterdir()):
            raise SandboxError(f"{directory}: not empty; choose a new folder or open the world that is there")
        with whole_folder(directory) as aside:
            cls._begin(aside, market, size, seed, prices, features_json, dials)._fill(progress or say_nothing)
        return cls.open(directory)

    @classmethod
    def open(cls, directory: Path) -> "World":
        """The world in `directory`. SandboxError if there is none or it has another format version."""
        recipe, newest_era = read_recipe(directory)
        return cls(directory, recipe, newest_era)

    def advance_era(self) -> int:
        """Add the next era's rows, resolve the targets that are due, and return the new newest era.

        SandboxError at the end of the market.
        """
        era = self.newest_era + 1
        if era > self.last_era:
            raise SandboxError(f"era {era}: the market ends with era {self.last_era}; create a world with more data")
        self._write_era(era)
        for horizon in HORIZONS:
            self._resolve(resolved_through(era, horizon), horizon)
        self._fit_rivals(era, say_nothing)
        self._predict_era(era)
        self.newest_era = era
        self._remember()
        return era

    def open_round(self, round_number: int, data_day: dt.date) -> None:
        """Store the live rows at the close of `data_day`, under new ids, and the rivals' predictions for the round.

        Idempotent. SandboxError if the day is not in the round's era, or the world has not reached that era.
        """
        era = round_by_number(round_number).era
        if era_on(data_day) != era:
            raise SandboxError(
                f"round {round_number}: data day {data_day} is of era {era_on(data_day)}, the round is of era {era}"
            )
        if era > self.newest_era:
            raise SandboxError(
                f"round {round_number}: the newest era is {self.newest_era}, not yet {era}; advance first"
            )
        files = self._round(round_number)
        if files.exists():
            return
        files.write(lambda aside: self._draw(aside, live_key(round_number), data_day, era))

    def write_release(self, directory: Path, *, round_number: int) -> None:
        """Write the twelve files, with the live rows of an opened round, into directory/"v5.3"; complete or not at all."""
        self._publisher().write(directory, self._opened(round_number))

    def write_live(self, folder: Path, *, round_number: int) -> None:
        """Write only the live files of an opened round into an existing folder."""
        self._publisher().write_live(folder, self._opened(round_number))

    def live(self, round_number: int) -> pd.DataFrame:
        """Predictions of an opened round: index id (str) in the order of live.parquet, columns the meta model and the
        two benchmarks, float64 in (0, 1)."""
        files = self._opened(round_number)
        values = files.predictions()
        index = pd.Index(files.rows()["ids"].astype(str), name="id")
        return pd.DataFrame({name: values[:, i] for i, name in enumerate(PREDICTIONS)}, index=index)

    def id_map(self, from_round: int, to_round: int) -> pd.DataFrame:
        """The ids of an opened round, with those of the same stocks in another round.

        Columns new_id (str) and id (str, None for a stock that `from_round` lacks), in the order of `to_round`.
        """
        before, after = (self._opened(number).rows() for number in (from_round, to_round))
        id_of_stock = dict(zip(before["stocks"].tolist(), before["ids"].astype(str).tolist(), strict=True))
        ids = [id_of_stock.get(stock) for stock in after["stocks"].tolist()]
        return pd.DataFrame({"id": pd.Series(ids, dtype=object), "new_id": after["ids"].astype(str)})

    def live_target(self, round_number: int, target: str, weekdays: int) -> pd.Series:
        """The target of an opened round after `weekdays` (1..60) weekdays of returns; never NaN.

        target: a full name or the alias. Index id, values {0, .25, .5, .75, 1} float32.
        """
        if not 1 <= weekdays <= 60:
            raise SandboxError(f"round {round_number}: {weekdays} weekdays of returns, expected 1..60")
        if target not in encoder.TARGETS:
            raise SandboxError(f"target {target!r}: expected one of {', '.join(encoder.TARGETS)}")
        files = self._opened(round_number)
        rows = files.rows()
        day = dt.date.fromordinal(int(rows["day"][0]))
        returns = self._market.forward_returns(day, rows["stocks"], weekdays)
        name = _short_name(target)
        values = self._encode(name, returns, rows["exposures"], live_key(round_number), weekdays, fill=True)
        return pd.Series(values, index=pd.Index(rows["ids"].astype(str), name="id"), name=target)

    # --- creation -----------------------------------------------------------------------------------------------

    @classmethod
    def _begin(
        cls,
        directory: Path,
        market: str,
        size: str,
        seed: int,
        prices: Path | None,
        features_json: Path | None,
        dials: Dials | None,
    ) -> "World":
        if market not in MARKETS:
            raise SandboxError(f"market {market!r}: expected one of {', '.join(MARKETS)}")
        if size not in SIZES:
            raise SandboxError(f"size {size!r}: expected one of {', '.join(SIZES)}")
        if seed < 0:
            raise SandboxError(f"seed {seed}: expected a number >= 0")
        if (market == "prices") != (prices is not None):
            raise SandboxError("market 'prices' needs a price panel; no other market takes one")
        dials = dials or Dials()
        if market != "synthetic" and dials != Dials():
            raise SandboxError(f"market {market!r} has no dials: only the synthetic one does")
        extent = SIZES[size]
        path = None if prices is None else str(prices.resolve())
        opened = open_market(market, extent, seed, path, dials, directory)
        if market == "prices":
            extent = fit_to_prices(extent, opened.first_era, opened.last_era)
        if features_json is None:
            columns = names.choose_columns(opened.groups, extent.characteristics)
            features = names.make_feature_list(opened.groups, columns, seed)
        else:
            features = names.adopt_feature_list(features_json, opened.groups, extent.characteristics)
        write_text(directory / FEATURES_JSON, features.to_json())
        recipe = WorldRecipe(market, extent, seed, path, features.names, features.columns, dials)
        return cls(directory, recipe, extent.newest_era, opened)

    def _fill(self, progress: Progress) -> None:
        eras = range(self.first_era, self.newest_era + 1)
        for done, era in enumerate(eras, start=1):
            self._write_era(era)
            progress("eras", done, len(eras))
        for done, era in enumerate(eras, start=1):
            for horizon in HORIZONS:
                if era <= resolved_through(self.newest_era, horizon):
                    self._resolve(era, horizon)
            progress("targets", done, len(eras))
        self._fit_rivals(self.newest_era, progress)
        for done, era in enumerate(eras, start=1):
            self._predict_era(era)
            progress("predictions", done, len(eras))
        self._remember()

    def _remember(self) -> None:
        self.recipe.write(self.directory, self.newest_era)

    # --- one era ------------------------------------------------------------------------------------------------

    def features(self, era: int) -> NDArray[np.int8]:
        """(n, d) int8 features of a historical era."""
        return self._era(era).features()

    def target(self, era: int, name: str) -> NDArray[np.float32]:
        """(n,) float32 target of a historical era by its full name, NaN where unresolved."""
        return self._era(era).all_targets(era, self.newest_era)[:, encoder.TARGETS.index(name)]

    def ids(self, era: int) -> NDArray[np.str_]:
        """(n,) ids of a historical era, in the order of its features and targets."""
        return self._era(era).rows()["ids"].astype(str)

    def predictions(self, era: int) -> pd.DataFrame:
        """Published predictions of a historical era: index id, columns the meta model (NaN before it exists) and the two
        benchmarks, float64 in (0, 1)."""
        return pd.DataFrame(
            self._era(era).predictions(), index=pd.Index(self.ids(era), name="id"), columns=list(PREDICTIONS)
        )

    def oracle(self, era: int, horizon: int) -> NDArray[np.float32] | None:
        """(n,) best prediction of target ender of an era, sum of all components; None for a market without an oracle."""
        parts = self.oracle_components(era, horizon)
        return None if parts is None else np.sum(list(parts.values()), axis=0, dtype=np.float32)

    def oracle_components(self, era: int, horizon: int) -> dict[str, NDArray[np.float32]] | None:
        """By component: (n,) expected specific return of an era, as module `oracle` defines it, neutralised to the risk
        exposures as target ender is; None for a market without an oracle."""
        stored = self._era(era).rows().get(f"oracle_{horizon}")
        return None if stored is None else dict(zip(COMPONENTS, stored.T, strict=True))

    def predict(self, era: int, features: NDArray[np.int8], *, live: bool = False) -> NDArray[np.float64]:
        """(n, 3) meta model (NaN before it exists) and benchmarks, by the models of the chunk that `era` is in.

        features: (n, d) int8. SandboxError before the first chunk.
        """
        rivals, start = self._rivals, self._rivals.chunk_of(era)
        if start is None:
            raise SandboxError(f"era {era}: rivals predict from era {self.recipe.size.first_benchmark_era} on")
        by_rival = rivals.predict(rivals.rivals_of(start), start, features)
        has_meta = live or era >= self.recipe.size.meta_model_from
        meta = meta_model(by_rival) if has_meta else np.full(len(features), np.nan)
        return np.column_stack([meta, *(by_rival[name] for name in BENCHMARK_NAMES)])

    def _write_era(self, era: int) -> None:
        files = self._era(era)
        if not files.exists():
            files.write(lambda aside: self._draw(aside, era_label(era), friday_of(era), None))

    def _draw(self, files: EraFiles, key: str, day: dt.date, predict_as: int | None) -> None:
        """Encode the cross-section of `day` under `key`; rows are sorted by id, so that their order reveals nothing."""
        snapshot = self._market.snapshot(day)
        bins = encoder.bin_features(snapshot.characteristics[:, list(self.recipe.columns)], self._rng("bins", key))
        ids = encoder.encode_ids(self.seed, key, snapshot.stocks)
        order = np.argsort(ids)
        rows: dict[str, NDArray[Any]] = {
            "ids": ids[order],
            "stocks": snapshot.stocks[order],
            "exposures": snapshot.exposures[order],
            "day": np.array([day.toordinal()]),
        }
        for horizon in HORIZONS:
            oracle = self._market.oracle(day, snapshot.stocks, horizon)
            if oracle is not None:
                parts = np.column_stack(list(oracle.values())).astype(np.float64)
                neutral = encoder.neutralise(parts, snapshot.exposures.astype(np.float64))
                rows[f"oracle_{horizon}"] = neutral[order].astype(np.float32)
        features = bins[order]
        files.write_rows(features, rows)
        if predict_as is not None:
            files.write_predictions(self.predict(predict_as, features, live=True))

    def _resolve(self, era: int, horizon: int) -> None:
        """Write the targets of `horizon` of an era, once."""
        if era < self.first_era or self._era(era).has_targets(horizon):
            return
        files = self._era(era)
        rows = files.rows()
        returns = self._market.forward_returns(friday_of(era), rows["stocks"], horizon)
        columns = [
            self._encode(name, returns, rows["exposures"], era_label(era), horizon, fill=name == encoder.MAIN_NAME)
            for name in encoder.TARGET_NAMES
        ]
        files.write_targets(horizon, np.column_stack(columns))

    def _encode(
        self,
        name: str,
        returns: NDArray[np.float32],
        exposures: NDArray[np.float32],
        key: str,
        weekdays: int,
        *,
        fill: bool,
    ) -> NDArray[np.float32]:
        rng = self._rng("target", name, key, str(weekdays))
        return encoder.encode_target(name, returns, exposures, self._market.exposure_groups, rng, fill=fill)

    def _fit_rivals(self, newest: int, progress: Progress) -> None:
        """Fit the missing models of all chunks up to era `newest`."""
        size, rivals = self.recipe.size, self._rivals
        starts = range(size.first_benchmark_era, newest + 1, size.chunk)
        wanted = [(rival, start) for start in starts for rival in rivals.rivals_of(start)]
        for done, (rival, start) in enumerate(wanted, start=1):
            rivals.fit(rival, start, self)
            progress("rivals", done, len(wanted))

    def _predict_era(self, era: int) -> None:
        files = self._era(era)
        if self._rivals.chunk_of(era) is not None and not files.has_predictions():
            files.write_predictions(self.predict(era, files.features()))

    # --- parts --------------------------------------------------------------------------------------------------

    @cached_property
    def _market(self) -> Market:
        if self._opened_market is not None:
            return self._opened_market
        recipe = self.recipe
        return open_market(recipe.market, recipe.size, recipe.seed, recipe.prices, recipe.dials, self.directory)

    @cached_property
    def _rivals(self) -> Rivals:
        groups = [self._market.groups[column] for column in self.recipe.columns]
        return Rivals(self.directory / "models", self.recipe.size, groups)

    def _publisher(self) -> Publisher:
        return Publisher(self.directory, self.feature_names, self.recipe.size, self.newest_era)

    def _era(self, era: int) -> EraFiles:
        return era_files(self.directory, era)

    def _round(self, round_number: int) -> EraFiles:
        return round_files(self.directory, round_number)

    def _opened(self, round_number: int) -> EraFiles:
        files = self._round(round_number)
        if not files.exists():
            raise SandboxError(f"round {round_number}: not opened yet in {self.directory}; open it first")
        return files

    def _rng(self, *key: str) -> np.random.Generator:
        return encoder.stream(self.seed, *key)


def _short_name(target: str) -> str:
    full = encoder.ALIAS_OF if target == encoder.ALIAS else target
    return full.removeprefix("target_").rpartition("_")[0]


def say_nothing(stage: str, done: int, total: int) -> None:
    """The progress callback that reports nothing."""
