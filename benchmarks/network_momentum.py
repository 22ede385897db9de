"""Gain of network momentum over own momentum on the sandbox's market, whose spillover can be switched off.

    python -m benchmarks.network_momentum                              # strong spillover, then none; nothing else
    python -m benchmarks.network_momentum --spillover 0.01 --rest --stocks 600

In this market a follower later earns the returns of three leaders, drawn from the stocks nearest to it in three of many
characteristics; the links are not published. `attain` is the CORR of a prediction that knows them.

Blocks are fitted on the first eras, then a ridge on their columns in these eras; both are scored on the eras after a purge:
mean CORR with target_ender_20 of a ridge on own, on network and on all momentum columns, and of the score. Peer groups are
found on all features (0), i.e. among look-alikes, or on features along which returns spill over; `kin` counts the right
ones. `over own` is the CORR of a ridge minus that of the ridge on own momentum of groups of look-alikes, era by era, with
Newey-West standard errors.
"""

import argparse
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from numerai_assets.eras import Wall, friday_of, horizon_of, resolved_at
from numerai_assets.evaluation.metrics import corr
from numerai_assets.evaluation.uncertainty import standard_error
from numerai_assets.features.learned.network_momentum import MEASURES, NetworkMomentum
from numerai_assets.panel.panel import EraPanel, History
from numerai_assets.sandbox.market.economy import Dials, draw_economy
from numerai_assets.sandbox.market.synthetic import SyntheticMarket
from numerai_assets.sandbox.published.encoder import bin_features, encode_ids, encode_target
from numerai_assets.sandbox.published.sizes import SIZES

Array = NDArray[np.float64]

TARGET = "target_ender_20"
_HORIZON = horizon_of(TARGET)
SPILLOVER_ALONE = Dials(effects=0, regimes=0, drift=0)
_RIDGE = 1e-3
_OWN, _NETWORK = slice(0, len(MEASURES)), slice(len(MEASURES), 2 * len(MEASURES))
COLUMNS = {"own": _OWN, "network": _NETWORK, "all": slice(0, 2 * len(MEASURES)), "score": slice(-1, None)}


@dataclass(frozen=True)
class World:
    """Eras of one market as Numerai would publish them. spillover: of each era, (n,) the best prediction from the leaders.

    kinship: the features in which leaders and followers are similar.
    """

    panel: EraPanel
    spillover: tuple[NDArray[np.float32], ...]
    kinship: tuple[str, ...]

    def attainable(self, eras: Sequence[int]) -> float:
        """Mean CORR of a prediction that knows the network; NaN without spillover."""
        known = dict(zip(self.panel.eras, self.spillover, strict=True))
        found = [corr(known[era].astype(float)[:, None], self.panel.with_eras([era]).target(TARGET))[0] for era in eras]
        return float(np.mean(found))


def world(stocks: int, eras: int, dials: Dials, seed: int) -> World:
    """The first eras of a synthetic market, each with a history of resolved targets."""
    size = SIZES["tiny"].with_stocks(stocks)
    market = SyntheticMarket(size, seed, dials=dials)
    numbers = tuple(range(market.first_era, market.first_era + eras))
    blocks, ids, targets, spillover = [], [], [], []
    for era in numbers:
        day, rng = friday_of(era), np.random.default_rng([seed, era])
        seen = market.snapshot(day)
        returns = market.forward_returns(day, seen.stocks, _HORIZON)
        blocks.append(np.ascontiguousarray(bin_features(seen.characteristics, rng).T))
        ids.append(encode_ids(seed, str(era), seen.stocks).astype(str).astype(object))
        targets.append(encode_target("ender", returns, seen.exposures, market.exposure_groups, rng, fill=True))
        spillover.append(market.oracle(day, seen.stocks, _HORIZON)["spillover"])
    panel = EraPanel(
        tuple(blocks),
        market.characteristics,
        numbers,
        tuple(ids),
        {TARGET: tuple(targets)},
        tuple(f"{stocks} {dials} {seed} {era}" for era in numbers),
    )
    economy = draw_economy(size.characteristics, size.first_era, seed, dials)
    kinship = tuple(economy.names[place] for place in economy.kinship)
    return World(panel, tuple(spillover), kinship)


def with_history(panel: EraPanel, block: NetworkMomentum) -> EraPanel:
    """The panel with a history of its own eras, in which each era sees what was known then."""

    def history_of(era: int) -> History:
        def nothing(name: str) -> NDArray[np.int8]:
            raise KeyError(name)

        reads = block.reads
        return History(
            era, panel.eras[0], reads.look_back, reads.targets, {}, lambda past: panel.with_eras([past]), nothing
        )

    return replace(panel, history_of=history_of)


@dataclass(frozen=True)
class Outcome:
    """Per-era CORR of each set of columns in the out-of-sample eras, and the fitted block."""

    corr: dict[str, Array]
    eras: tuple[int, ...]
    block: NetworkMomentum

    def over(self, ours: str, theirs: Array) -> tuple[float, float]:
        """Mean difference from other per-era scores, and its standard error."""
        apart = self.corr[ours] - theirs
        return float(apart.mean()), standard_error(apart, horizon=_HORIZON)


def outcome(made: World, block: NetworkMomentum, judged: int, seed: int = 0) -> Outcome:
    """The block and a ridge for each set of columns, fitted before a purge and scored on the last `judged` eras."""
    panel = with_history(made.panel, block)
    last = Wall(panel.eras[-1 - judged], _HORIZON).last_fit_era
    fitted = panel.with_eras([era for era in panel.eras if era <= last])
    block.fit(fitted, target=TARGET, seed=seed)
    # The first eras have no resolved targets, so no momentum.
    first = resolved_at(panel.eras[0] + 52, _HORIZON)
    columns = {era: _standardised(block.transform(panel.with_eras([era]))) for era in panel.eras if era >= first}
    aims = {era: made.panel.with_eras([era]).target(TARGET) - 0.5 for era in columns}
    eras = panel.eras[-judged:]
    found = {}
    for name, some in COLUMNS.items():
        weights = _ridge(
            [columns[era][some] for era in columns if era <= last], [aims[e] for e in columns if e <= last]
        )
        found[name] = np.array([corr((weights @ columns[era][some])[:, None], aims[era] + 0.5)[0] for era in eras])
    return Outcome(found, eras, block)


def _standardised(columns: NDArray[np.float16]) -> Array:
    apart = columns.astype(np.float64)
    apart -= apart.mean(axis=1, keepdims=True)
    return np.asarray(apart / np.maximum(apart.std(axis=1, keepdims=True), 1e-9))


def _ridge(columns: Sequence[Array], aims: Sequence[NDArray[np.float32]]) -> Array:
    """(k,) weights of columns (k, n) of each era on their targets (n,)."""
    moments = sum(some @ some.T for some in columns)
    rows = sum(map(len, aims))
    towards = sum(some @ aim for some, aim in zip(columns, aims, strict=True))
    return np.asarray(np.linalg.solve(moments + _RIDGE * rows * np.eye(len(columns[0])), towards))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stocks", type=int, default=300)
    parser.add_argument("--eras", type=int, default=400)
    parser.add_argument("--judged", type=int, default=140)
    parser.add_argument("--spillover", type=float, nargs="*", default=(0.2, 0.0))
    parser.add_argument("--rest", action="store_true", help="with the market's other structure, at its usual strength")
    parser.add_argument("--seeds", type=int, nargs="*", default=(0, 1))
    parser.add_argument("--groups", type=int, nargs="*", default=(64,))
    parser.add_argument("--position", type=float, nargs="*", default=(0.5,))
    parser.add_argument("--found-on", type=int, nargs="*", default=(4,))
    options = parser.parse_args()
    print(
        "  dial seed groups found on kin position density  attain     own network   score     all"
        "        own over own    network over own        all over own   CPU s",
        flush=True,
    )
    for dial, seed in itertools.product(options.spillover, options.seeds):
        dials = replace(Dials() if options.rest else SPILLOVER_ALONE, spillover=dial)
        made = world(options.stocks, options.eras, dials, seed)
        for groups, position in itertools.product(options.groups, options.position):
            own: Array | None = None
            for found_on in (0, *options.found_on):
                began = time.process_time()
                block = NetworkMomentum(groups=groups, found_on=found_on, position=position)
                found = outcome(made, block, options.judged)
                own = found.corr["own"] if own is None else own
                kin = len(set(made.kinship) & set(block.feature_names_))
                means = " ".join(f"{found.corr[name].mean():7.4f}" for name in ("own", "network", "score", "all"))
                gains = "   ".join(
                    "{:7.4f} +- {:.4f}".format(*found.over(ours, own)) for ours in ("own", "network", "all")
                )
                print(
                    f"{dial:6.3f} {seed:4d} {len(block.groups_):6d} {found_on:8d} {kin:3d} {position:8.2f} "
                    f"{block.density:7.2f} {made.attainable(found.eras):7.4f} {means}   {gains}   "
                    f"{time.process_time() - began:5.1f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
