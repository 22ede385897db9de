"""A release of Numerai's true size, written in one pass over a synthetic economy in bounded memory.

    <directory>/v5.3/           the twelve files
    <directory>/oracle/<era>    unpublished data: stocks, best predictions by component, and all predictions of the rivals
    <directory>/release.json    seed and shape

Two threads share the work. One simulates the weeks: an era is observed on its Friday, and its targets are known 13 weeks
later. The other encodes: bins once an era is observed, targets and Parquet once its returns are known. Memory holds 14
eras of bins, one row group, and a few states of the economy.

It is not a World: without era folders and fitted models it can be read and trained on, but not advanced.
"""

import json
import shutil
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from numerai_assets.eras import HORIZONS, era_label, friday_of, live_key, resolved_through
from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.calendar.rounds import weekend_round
from numerai_assets.sandbox.full_release.feature_list import FIRST_GROUPS, full_feature_list
from numerai_assets.sandbox.full_release.meter import Meter
from numerai_assets.sandbox.full_release.noisy_rivals import NoisyRivals
from numerai_assets.sandbox.full_release.shape import FullShape
from numerai_assets.sandbox.market.oracle import COMPONENTS
from numerai_assets.sandbox.market.synthetic import SyntheticMarket
from numerai_assets.sandbox.published import encoder
from numerai_assets.sandbox.published import release_writer as writer
from numerai_assets.sandbox.published.binning import bin_columns
from numerai_assets.sandbox.published.encoder import ALIAS, ALIAS_OF, MAIN_NAME, TARGET_NAMES, TARGETS
from numerai_assets.sandbox.published.files import load_arrays, save_arrays, whole_folder, write_text
from numerai_assets.sandbox.published.names import FeatureList
from numerai_assets.sandbox.published.release_writer import Rows, Scores
from numerai_assets.sandbox.published.row_groups import ROWS_PER_GROUP, RowGroups
from numerai_assets.sandbox.published.sizes import FIRST_VALIDATION_ERA, TEST_ERAS, data_type_of
from numerai_assets.sandbox.world.history import Progress, say_nothing

ORACLE = "oracle"
RELEASE_JSON = "release.json"

# Eras that may wait for the encoding thread; each keeps its characteristics in memory until then.
_BACKLOG = 2
# Bytes of a feature value in Parquet, and of the rest of a row (ids, targets, scores, oracle, CSV), with a margin.
_BYTES_A_VALUE, _BYTES_A_ROW = 0.4, 400


def write_full_release(
    directory: Path,
    *,
    shape: FullShape | None = None,
    seed: int = 0,
    features_json: Path | None = None,
    rows_per_group: int = ROWS_PER_GROUP,
    progress: Progress | None = None,
) -> Meter:
    """Write a release into `directory`, which must be absent or empty; complete or not at all. Returns its cost.

    features_json: a real features.json to take names and sets from.  progress is called with (stage, done, total).
    SandboxError for a folder that is not empty, too small a disk, or a file that is not a features.json.
    """
    shape, meter = shape or FullShape(), Meter()
    if directory.exists() and any(directory.iterdir()):
        raise SandboxError(f"{directory}: not empty; choose a new folder, or remove it to write the release again")
    _check_disk(directory, shape)
    # One BLAS thread: more would slow down the encoding thread, and sums could differ between machines.
    with whole_folder(directory) as aside, threadpool_limits(1), meter.watching():
        with meter.stage("economy"):
            market = SyntheticMarket(shape, seed, group_sizes=FIRST_GROUPS)
            features = full_feature_list(market.groups, seed, features_json)
        for folder in (writer.VERSION, ORACLE):
            (aside / folder).mkdir()
        write_text(aside / writer.VERSION / writer.FEATURES_JSON, features.to_json())
        making = _Making(aside, shape, seed, market, features, meter)
        making.write_live(*making.write_rows(rows_per_group, progress or say_nothing))
        making.write_scores()
        write_text(aside / RELEASE_JSON, json.dumps({"seed": seed, **asdict(shape)}))
    return meter


@dataclass(frozen=True)
class _Era:
    """Data of an era on its Friday. Rows are sorted by id, so that their order reveals nothing.

    stocks, ids (n,); exposures (n, k); oracle: by horizon and component, (n,) best predictions.
    """

    era: int
    stocks: NDArray[np.int64]
    ids: NDArray[np.bytes_]
    exposures: NDArray[np.float32]
    oracle: dict[int, dict[str, NDArray[np.float32]]]


@dataclass(frozen=True)
class _Published:
    """Published data of an era. bins (d, n) int8; predictions (n, 3) as in PREDICTIONS."""

    bins: NDArray[np.int8]
    predictions: NDArray[np.float64]


class _Making:
    """A release being written, in `folder`."""

    def __init__(
        self, folder: Path, shape: FullShape, seed: int, market: SyntheticMarket, features: FeatureList, meter: Meter
    ) -> None:
        self._folder = folder / writer.VERSION
        self._oracle = folder / ORACLE
        self._shape = shape
        self._seed = seed
        self._market = market
        self._features = features
        self._meter = meter
        self._rivals = NoisyRivals(len(market.groups), seed)

    def write_rows(self, rows_per_group: int, progress: Progress) -> tuple[_Era, _Published]:
        """train.parquet, validation.parquet, and the oracle. Returns the newest era."""
        shape, names, columns = self._shape, self._features.names, self._features.columns
        with ThreadPoolExecutor(1) as encoding:
            known = self._known(encoding)
            for name, eras in ((writer.TRAIN, shape.training), (writer.VALIDATION, shape.validation)):
                with RowGroups(self._folder / name, names, columns, rows_per_group) as file:
                    backlog: deque[Future[None]] = deque()
                    try:
                        for number in eras:
                            era, published, returns = next(known)
                            backlog.append(encoding.submit(self._add, file, era, published, returns))
                            if len(backlog) > _BACKLOG:
                                backlog.popleft().result()
                            progress("eras", number - shape.first_era + 1, len(shape.eras))
                        while backlog:
                            backlog.popleft().result()
                    finally:
                        # The file may be closed only after the last write to it.
                        wait(backlog)
                with self._meter.stage("parquet") as cost:
                    cost.bytes += (self._folder / name).stat().st_size
            return era, published.result()

    def write_live(self, era: _Era, published: _Published) -> None:
        """The live files of the weekend round of the newest era: its stocks, under other ids."""
        with self._meter.stage("live", rows=len(era.ids)):
            ids = encoder.encode_ids(self._seed, live_key(weekend_round(era.era).number), era.stocks)
            order = np.argsort(ids)
            bins = published.bins[np.ix_(np.array(self._features.columns), order)].T
            names, predictions = self._features.names, published.predictions[order]
            writer.write_live(self._folder, names, ids[order], bins, predictions)

    def write_scores(self) -> None:
        """Meta model, benchmarks and example predictions, from the files of the oracle."""
        shape, folder = self._shape, self._folder
        with self._meter.stage("scores") as cost:
            first = range(shape.first_benchmark_era, FIRST_VALIDATION_ERA)
            writer.write_benchmarks(folder / writer.TRAIN_BENCHMARK, self._kept(first))
            writer.write_benchmarks(folder / writer.VALIDATION_BENCHMARK, self._kept(shape.validation))
            scored = range(shape.meta_model_from, resolved_through(shape.newest_era, 60) + 1)
            writer.write_meta_model(folder / writer.META, self._kept(scored))
            example = [scores.example() for scores in self._kept(shape.validation)]
            writer.write_example(folder, writer.VALIDATION_EXAMPLE, example)
            cost.rows += sum(len(scores.ids) for scores in example)
            files = set(folder.iterdir()) - {folder / writer.TRAIN, folder / writer.VALIDATION}
            cost.bytes += sum(path.stat().st_size for path in files)

    # --- on this thread: the economy ----------------------------------------------------------------------------

    def _known(
        self, encoding: ThreadPoolExecutor
    ) -> Iterator[tuple[_Era, "Future[_Published]", dict[int, NDArray[np.float32]]]]:
        """Every era in order with its returns by horizon, as far as they are known in the newest era."""
        waiting: deque[tuple[_Era, Future[_Published]]] = deque()
        for number in self._shape.eras:
            waiting.append(self._look(number, encoding))
            if len(waiting) > TEST_ERAS:
                yield self._with_returns(*waiting.popleft())
        while waiting:
            yield self._with_returns(*waiting.popleft())

    def _look(self, number: int, encoding: ThreadPoolExecutor) -> tuple[_Era, "Future[_Published]"]:
        """The era on its Friday, and a future of its published data."""
        day = friday_of(number)
        with self._meter.stage("weeks"):
            snapshot = self._market.snapshot(day)
        with self._meter.stage("oracle"):
            ids = encoder.encode_ids(self._seed, era_label(number), snapshot.stocks)
            order = np.argsort(ids)
            exposures = snapshot.exposures.astype(np.float64)
            oracle = {}
            for horizon, found in self._market.oracles(day, snapshot.stocks, HORIZONS).items():
                neutral = encoder.neutralise(np.column_stack(list(found.values())).astype(np.float64), exposures)
                oracle[horizon] = dict(zip(found, neutral[order].astype(np.float32).T, strict=True))
            era = _Era(number, snapshot.stocks[order], ids[order], snapshot.exposures[order], oracle)
        return era, encoding.submit(self._publish, era, snapshot.characteristics, order)

    def _with_returns(
        self, era: _Era, published: "Future[_Published]"
    ) -> tuple[_Era, "Future[_Published]", dict[int, NDArray[np.float32]]]:
        with self._meter.stage("weeks"):
            known = [h for h in HORIZONS if era.era <= resolved_through(self._shape.newest_era, h)]
            day = friday_of(era.era)
            return era, published, {h: self._market.forward_returns(day, era.stocks, h) for h in known}

    # --- on the encoding thread ---------------------------------------------------------------------------------

    def _publish(self, era: _Era, characteristics: NDArray[np.float32], order: NDArray[np.intp]) -> _Published:
        with self._meter.stage("bins", rows=len(order)):
            bins = bin_columns(characteristics, order, self._rng("bins", era_label(era.era)))
        with self._meter.stage("rivals", rows=len(order)):
            published = _Published(bins, self._rivals.predict(era.era, bins, era.oracle))
            kept = {
                f"oracle_{h}": np.column_stack([parts[name] for name in COMPONENTS]) for h, parts in era.oracle.items()
            }
            path = self._oracle / f"{era_label(era.era)}.npz"
            save_arrays(path, ids=era.ids, stocks=era.stocks, predictions=published.predictions, **kept)
        return published

    def _add(
        self, file: RowGroups, era: _Era, published: "Future[_Published]", returns: dict[int, NDArray[np.float32]]
    ) -> None:
        with self._meter.stage("targets", rows=len(era.ids)):
            targets = self._targets(era, returns)
        with self._meter.stage("parquet", rows=len(era.ids)):
            label, kind = era_label(era.era), data_type_of(era.era, self._shape.newest_era)
            file.add(Rows(label, kind, era.ids, published.result().bins.T, targets.T))

    def _targets(self, era: _Era, returns: dict[int, NDArray[np.float32]]) -> NDArray[np.float32]:
        """(41, n) in the order of TARGETS."""
        table = np.full((len(TARGETS), len(era.ids)), np.nan, dtype=np.float32)
        groups = self._market.exposure_groups
        for horizon, earned in returns.items():
            for name in TARGET_NAMES:
                rng = self._rng("target", name, era_label(era.era), str(horizon))
                target = encoder.encode_target(name, earned, era.exposures, groups, rng, fill=name == MAIN_NAME)
                table[TARGETS.index(f"target_{name}_{horizon}")] = target
        table[TARGETS.index(ALIAS)] = table[TARGETS.index(ALIAS_OF)]
        return table

    # --- parts --------------------------------------------------------------------------------------------------

    def _kept(self, eras: range) -> Iterator[Scores]:
        for era in eras:
            arrays = load_arrays(self._oracle / f"{era_label(era)}.npz")
            data_type = data_type_of(era, self._shape.newest_era)
            yield Scores.of(era_label(era), data_type, arrays["ids"], arrays["predictions"])

    def _rng(self, *key: str) -> np.random.Generator:
        return encoder.stream(self._seed, *key)


def _check_disk(directory: Path, shape: FullShape) -> None:
    there = next(folder for folder in directory.absolute().parents if folder.exists())
    needed = shape.rows * (shape.characteristics * _BYTES_A_VALUE + _BYTES_A_ROW)
    free = shutil.disk_usage(there).free
    if free < needed:
        raise SandboxError(
            f"{directory}: {free / 1e9:.1f} GB are free, a release of {shape} needs {needed / 1e9:.1f} GB; "
            "free some, or choose another disk or fewer eras, features or rows"
        )
