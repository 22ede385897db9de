"""Look-alikes: cost, compared with scikit-learn's brute force on the features, and share that is the same stock.

    python -m benchmarks.look_alikes                              # cost, at 6,000 x 3,555
    python -m benchmarks.look_alikes --links                      # right links by lag, and by chance
    python -m benchmarks.look_alikes --links --dims 64 --whitening 1

The identity of stocks is known only in the sandbox's markets; Numerai does not publish it, and nothing here applies to its
data. Links measure whether a stock stays near itself in the space in which rows are compared. The market of real prices
needs the panel us_equities_nasdaq_2003_2017.parquet in NUMERAI_ASSETS_SHARED_DATA, or in shared/data beside the checkout.
"""

import argparse
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from benchmarks.table import Cost, Row, in_process, package, print_rows
from numerai_assets.eras import friday_of
from numerai_assets.features.contract import History
from numerai_assets.features.per_era.look_alike_quality import mutual_rows
from numerai_assets.features.per_era.look_alikes import LookAlikes
from numerai_assets.features.trajectories.component_space import ComponentSpace
from numerai_assets.features.trajectories.nearest import nearest
from numerai_assets.panel.panel import EraPanel
from numerai_assets.sandbox.market.prices.price_market import PriceMarket
from numerai_assets.sandbox.market.protocol import Market
from numerai_assets.sandbox.market.synthetic import SyntheticMarket
from numerai_assets.sandbox.published import encoder, names
from numerai_assets.sandbox.published.sizes import SIZES

Block = NDArray[np.int8]

PRICES = "us_equities_nasdaq_2003_2017.parquet"
LAGS = (1, 2, 4, 8, 13, 26, 52)
# Number of features in the set `medium` of v5.3, which has 3,555.
ALL, MEDIUM = 3555, 780
# Number of synthetic eras; a longer look-back reads them again.
_ERAS = 3


# --- cost -----------------------------------------------------------------------------------------------------------


def measure(quick: bool, *, rows: int | None = None, features: int | None = None) -> list[Row]:
    """Rows of the table. Raises RuntimeError when scikit-learn finds other distances in the same space."""
    rows, features = rows or (3000 if quick else 6000), features or (1500 if quick else ALL)
    medium, lags, repeats = round(features * MEDIUM / ALL), len(LookAlikes().lags), 1 if quick else 3
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        blocks = made_up(rows, features)
        _check(blocks)
        for number, block in enumerate(blocks):
            np.save(path / f"{number}.npy", block)
        del blocks
        pair, their_pair = (in_process(work, path, medium, repeats=repeats) for work in (one_lag, by_scikit_learn))
        wide, their_wide = (in_process(work, path, features, repeats=repeats) for work in (one_lag, by_scikit_learn))
        era = in_process(all_lags, path, medium, repeats=repeats)
    peer = f"{package('scikit-learn')} NearestNeighbors, brute, on the levels"
    return [
        Row(f"look-alikes of an era pair, {rows:,} x {medium:,}", pair, peer, their_pair),
        Row(f"look-alikes of an era pair, {rows:,} x {features:,}", wide, peer, their_wide),
        Row(f"an era and {lags} lags*, {rows:,} x {medium:,}", era, peer, _times(their_pair, lags)),
        Row(
            f"100 eras of {lags} lags*, {rows:,} x {medium:,}",
            _times(era, 100),
            peer,
            _times(their_pair, 100 * lags),
        ),
    ]


def made_up(rows: int, features: int) -> list[Block]:
    """Blocks (d, n) of some eras whose rows share twenty drifting factors."""
    rng, single = np.random.default_rng(0), np.float32
    loadings = rng.standard_normal((features, 20), single) / np.sqrt(20, dtype=single)
    state, blocks = rng.standard_normal((20, rows), single), []
    for _ in range(_ERAS):
        state = single(0.95) * state + single(np.sqrt(1 - 0.95**2)) * rng.standard_normal(state.shape, single)
        scores = loadings @ state + rng.standard_normal((features, rows), single)
        blocks.append(np.clip(np.floor(scores + single(2.5)), 0, 4).astype(np.int8))
    return blocks


def one_lag(folder: Path, features: int) -> None:
    compute(folder, LookAlikes(lags=(1,)), features)


def all_lags(folder: Path, features: int) -> None:
    compute(folder, LookAlikes(), features)


def compute(folder: Path, block: LookAlikes, features: int) -> None:
    """Look-alikes of the newest era, on the first features, in earlier eras, which repeat the synthetic ones."""
    blocks = _mapped(folder)
    feature_names = tuple(f"feature_{i}" for i in range(len(blocks[0])))
    ids = np.arange(blocks[0].shape[1]).astype(str).astype(object)
    newest = block.look_back + 1

    def panel(era: int) -> EraPanel:
        return EraPanel((blocks[(newest - era) % len(blocks)],), feature_names, (era,), (ids,))

    def no_columns(name: str) -> Block:
        raise KeyError(name)

    sets = {"medium": feature_names[:features]}
    history = History(newest, 1, block.look_back, block.targets, sets, panel, no_columns)
    with _one_thread():
        block.compute(panel(newest), history)


def by_scikit_learn(folder: Path, features: int) -> None:
    """The 8 nearest rows of the second era to each row of the first, by the features themselves."""
    here, there = (np.ascontiguousarray(block[:features].T, np.float32) for block in _mapped(folder)[:2])
    with _one_thread():
        NearestNeighbors(n_neighbors=8, algorithm="brute").fit(there).kneighbors(here)


def _mapped(folder: Path) -> list[Block]:
    return [np.load(folder / f"{number}.npy", mmap_mode="r") for number in range(_ERAS)]


@contextmanager
def _one_thread() -> Iterator[None]:
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield


def _check(blocks: Sequence[Block]) -> None:
    space = ComponentSpace.of(blocks[0], LookAlikes().dims, LookAlikes().whitening)
    here, there = space.place(blocks[0][:, :1000]), space.place(blocks[1])
    _, squares = nearest(here, there, 8)
    theirs = (
        NearestNeighbors(n_neighbors=8, algorithm="brute")
        .fit(there.T.astype(float))
        .kneighbors(here.T.astype(float))[0]
    )
    apart = float(np.abs(np.sqrt(squares.T.astype(float)) - theirs).max())
    if not apart < 1e-6:
        raise RuntimeError(f"distances of look-alikes differ by {apart:.2g} steps of the lattice")


def _times(cost: Cost, times: int) -> Cost:
    """The cost of repeating the same work: time grows, memory does not."""
    return replace(cost, seconds=cost.seconds * times, cpu_seconds=cost.cpu_seconds * times)


# --- right links ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Links:
    """Shares of right links between an era and one `lag` eras before, over the rows whose stock was already there.

    rows: of the earlier era. there: share of rows whose stock was there. nearest, any_of_k: share of these whose nearest
    row, or one of the k nearest, is the same stock. mutual: share of all rows that are mutual with their nearest. right:
    share of the mutual ones that are the same stock.
    """

    lag: int
    rows: float
    there: float
    nearest: float
    any_of_k: float
    mutual: float
    right: float


@dataclass(frozen=True)
class Study:
    """Eras of one market as Numerai would publish them, and the stock of each row, which it would not publish."""

    name: str
    market: Market
    eras: tuple[int, ...]
    """Eras that look back."""

    def links(self, feature_set: str, k: int, dims: int, whitening: float) -> Iterator[Links]:
        """Mean over the eras, by lag."""
        columns = names.choose_columns(self.market.groups, SIZES["default"].characteristics)
        features = names.make_feature_list(self.market.groups, columns, seed=0)
        place = dict(zip(features.names, features.columns, strict=True))
        chosen = [place[name] for name in features.sets[feature_set]]
        wanted = sorted({era - lag for era in self.eras for lag in (0, *LAGS)})
        drawn = {era: self._drawn(era, chosen) for era in wanted}
        for lag in LAGS:
            each = [linked(drawn[era], drawn[era - lag], lag, k, dims, whitening) for era in self.eras]
            yield Links(lag, *np.mean([list(vars(links).values())[1:] for links in each], axis=0).tolist())

    def _drawn(self, era: int, columns: Sequence[int]) -> tuple[Block, NDArray[np.int64]]:
        """Block (d, n) and stocks (n,) of an era, rows in random order."""
        snapshot, rng = self.market.snapshot(friday_of(era)), np.random.default_rng(era)
        bins = encoder.bin_features(snapshot.characteristics[:, columns], rng)
        order = rng.permutation(len(bins))
        return np.ascontiguousarray(bins[order].T), snapshot.stocks[order]


def linked(
    here: tuple[Block, NDArray[np.int64]],
    there: tuple[Block, NDArray[np.int64]],
    lag: int,
    k: int,
    dims: int,
    whitening: float,
) -> Links:
    """Links between two eras, each a block (d, n) and the stocks (n,) of its rows."""
    (block, stocks), (earlier, stocks_then) = here, there
    space = ComponentSpace.of(block, dims, whitening)
    points, points_then = space.place(block), space.place(earlier)
    rows, _ = nearest(points, points_then, k)
    right = stocks_then[rows] == stocks
    known = np.isin(stocks, stocks_then)
    mutual = mutual_rows(rows[0].astype(np.int16), points, points_then)
    return Links(
        lag,
        len(stocks_then),
        float(known.mean()),
        float(right[0, known].mean()),
        float(right[:, known].any(axis=0).mean()),
        float(mutual.mean()),
        float(right[0, mutual].mean()) if mutual.any() else np.nan,
    )


def studies() -> Iterator[Study]:
    """The synthetic market of size `default`, and real prices if the panel is there."""
    yield Study("synthetic", SyntheticMarket(SIZES["default"], seed=0), (540, 570))
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    panel = Path(os.environ.get("NUMERAI_ASSETS_SHARED_DATA", beside)) / PRICES
    if panel.is_file():
        yield Study("prices", PriceMarket(panel), (480, 560, 640, 700))
    else:
        print(f"prices: skipped, {panel} is not there")


def print_links(k: int, dims: int, whitening: float) -> None:
    """Prints a table of all shares."""
    print(f"\nright links, k {k}, {dims} dimensions at most, whitening {whitening:g}")
    print(
        f"{'market':<11}{'features':<10}{'lag':>4}{'rows':>7}{'there':>8}{'nearest':>9}{'chance':>9}"
        f"{f'any of {k}':>10}{'chance':>9}{'mutual':>9}{'of these right':>16}"
    )
    for study in studies():
        for feature_set in ("medium", "all"):
            for links in study.links(feature_set, k, dims, whitening):
                print(
                    f"{study.name:<11}{feature_set:<10}{links.lag:>4}{links.rows:>7.0f}{links.there:>8.3f}"
                    f"{links.nearest:>9.3f}{1 / links.rows:>9.4f}{links.any_of_k:>10.3f}{k / links.rows:>9.4f}"
                    f"{links.mutual:>9.3f}{links.right:>16.3f}"
                )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--links", action="store_true", help="right links instead of cost")
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--features", type=int, default=ALL)
    parser.add_argument("--k", type=int, default=LookAlikes().k)
    parser.add_argument("--dims", type=int, default=LookAlikes().dims)
    parser.add_argument("--whitening", type=float, default=LookAlikes().whitening)
    options = parser.parse_args()
    if options.links:
        print_links(options.k, options.dims, options.whitening)
    else:
        print_rows(measure(False, rows=options.rows, features=options.features))
        print(
            f"* {_ERAS} synthetic eras are read repeatedly; 100 eras, and the peer at all lags, are extrapolated from one"
        )
