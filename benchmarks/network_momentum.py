"""What network momentum adds to own momentum on the sandbox's market, whose spillover can be switched off.

    python -m benchmarks.network_momentum                          # spillover off and strong, at a few settings
    python -m benchmarks.network_momentum --spillover 0.05 --stocks 600 --eras 400

The block is fitted on the first eras, then a ridge on its columns of these, and judged on the eras behind a purge: mean CORR
with target_ender_20 of a ridge on own, on network and on all momentum columns, and what all have beyond own, paired era by
era, with Newey-West standard errors. In this market a follower takes over what three leaders earned, drawn among those
nearest to it in three characteristics of many; who leads whom is published to nobody. `attainable` is the CORR of knowing.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from numerai_assets.eras import friday_of, horizon_of, purge, resolve_lag
from numerai_assets.evaluation.metrics import corr
from numerai_assets.evaluation.uncertainty import standard_error
from numerai_assets.features.network_momentum import MEASURES, NetworkMomentum
from numerai_assets.sandbox.economy import Dials
from numerai_assets.sandbox.encoder import bin_features, encode_ids, encode_target
from numerai_assets.sandbox.sizes import SIZES
from numerai_assets.sandbox.synthetic import SyntheticMarket
from numerai_assets.store.history import History
from numerai_assets.store.panel import EraPanel

Array = NDArray[np.float64]

TARGET = "target_ender_20"
_HORIZON = horizon_of(TARGET)
SPILLOVER_ALONE = Dials(effects=0, regimes=0, drift=0)
_RIDGE = 1e-3
_OWN, _NETWORK = slice(0, len(MEASURES)), slice(len(MEASURES), 2 * len(MEASURES))
COLUMNS = {"own": _OWN, "network": _NETWORK, "all": slice(0, 2 * len(MEASURES)), "score": slice(-1, None)}


@dataclass(frozen=True)
class World:
    """Eras of one market as Numerai would publish them. spillover: of each era, (n,) what leaders will bring at best.

    kinship: the features in which leaders are like their followers.
    """

    panel: EraPanel
    spillover: tuple[NDArray[np.float32], ...]
    kinship: tuple[str, ...]

    def attainable(self, eras: Sequence[int]) -> float:
        """Mean CORR of knowing the network; NaN without spillover."""
        known = dict(zip(self.panel.eras, self.spillover, strict=True))
        found = [corr(known[era].astype(float)[:, None], self.panel.with_eras([era]).target(TARGET))[0] for era in eras]
        return float(np.mean(found))


def world(stocks: int, eras: int, dials: Dials, seed: int) -> World:
    """The first eras of a synthetic market, each of which knows of the past what had resolved."""
    market = SyntheticMarket(SIZES["tiny"].with_stocks(stocks), seed, dials=dials)
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
    kinship = tuple(market.characteristics[place] for place in np.argsort(-market._economy.rho)[:3])
    return World(panel, tuple(spillover), kinship)


def with_history(panel: EraPanel, block: NetworkMomentum) -> EraPanel:
    """The panel, which tells at each era what may be known there of its own past."""

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
    """Per-era CORR of each set of columns over the judged eras, and the fitted block."""

    corr: dict[str, Array]
    eras: tuple[int, ...]
    block: NetworkMomentum

    def mean(self, name: str) -> float:
        return float(self.corr[name].mean())

    def beyond(self, ours: str, theirs: str) -> tuple[float, float]:
        """Mean difference, era by era, and its standard error."""
        apart = self.corr[ours] - self.corr[theirs]
        return float(apart.mean()), standard_error(apart, horizon=_HORIZON)


def outcome(made: World, block: NetworkMomentum, judged: int, seed: int = 0) -> Outcome:
    """The block and a ridge for each set of columns, fitted before a purge and judged on the last `judged` eras."""
    panel = with_history(made.panel, block)
    last = panel.eras[-1 - judged] - purge(_HORIZON)
    fitted = panel.with_eras([era for era in panel.eras if era <= last])
    block.fit(fitted, target=TARGET, seed=seed)
    # A target is known to all of the past that its era knows: the first eras have no momentum.
    first = panel.eras[0] + 52 + resolve_lag(_HORIZON)
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
    parser.add_argument("--eras", type=int, default=500)
    parser.add_argument("--judged", type=int, default=160)
    parser.add_argument("--spillover", type=float, nargs="*", default=(0.0, 0.1))
    parser.add_argument("--seeds", type=int, nargs="*", default=(0, 1))
    parser.add_argument("--groups", type=int, nargs="*", default=(16, 64))
    parser.add_argument("--nearest", type=int, nargs="*", default=(3,))
    parser.add_argument("--found-on", type=int, nargs="*", default=(4, 0))
    parser.add_argument("--position", type=float, nargs="*", default=(0.0, 0.5, 1.0))
    parser.add_argument("--alone", action="store_true", help="a market with no other structure")
    options = parser.parse_args()
    print(
        f"{'dial':>5} {'seed':>4} {'groups':>6} {'near':>4} {'found on':>8} {'kin':>3} {'position':>8} {'density':>7} "
        f"{'attain':>7} {'own':>7} {'network':>7} {'score':>7} {'all':>7} {'all - own':>16} {'network - own':>16} {'s':>4}",
        flush=True,
    )
    for dial in options.spillover:
        for seed in options.seeds:
            dials = replace(SPILLOVER_ALONE if options.alone else Dials(), spillover=dial)
            made = world(options.stocks, options.eras, dials, seed)
            for groups in options.groups:
                for nearest in options.nearest:
                    for found_on in options.found_on:
                        for position in options.position:
                            began = time.process_time()
                            block = NetworkMomentum(
                                groups=groups, nearest=nearest, found_on=found_on, position=position
                            )
                            found = outcome(made, block, options.judged)
                            kin = len(set(made.kinship) & set(block.feature_names_))
                            means = " ".join(f"{found.mean(name):7.4f}" for name in ("own", "network", "score", "all"))
                            gains = " ".join(
                                "{:7.4f} +- {:.4f}".format(*found.beyond(ours, "own")) for ours in ("all", "network")
                            )
                            print(
                                f"{dial:5.3f} {seed:4d} {len(block.groups_):6d} {nearest:4d} {found_on:8d} {kin:3d} "
                                f"{position:8.2f} {block.density:7.2f} {made.attainable(found.eras):7.4f} {means} {gains} "
                                f"{time.process_time() - began:4.0f}",
                                flush=True,
                            )


if __name__ == "__main__":
    main()
