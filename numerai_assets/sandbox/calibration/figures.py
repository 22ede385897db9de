"""Comparison of a synthetic world with Numerai: each real figure, ours, the tolerance and its reason.

Real figures were measured on one exact era of v5.2 (0575, set small, 5,592 rows) and on a panel of US stocks, or come from
an independent study of the v5.3 files and from Numerai's notebooks. Figures that sampling noise would hide at the size of
a world are measured on its economy enlarged to as many stocks as Numerai has.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from numerai_assets.eras import resolve_lag, resolved_through, spanned_eras
from numerai_assets.sandbox.calibration import measures as m
from numerai_assets.sandbox.calibration.enlarged import Enlarged
from numerai_assets.sandbox.published import encoder
from numerai_assets.sandbox.published.prediction_names import BENCHMARK_NAMES, EXAMPLE, META_MODEL
from numerai_assets.sandbox.published.sizes import FIRST_VALIDATION_ERA
from numerai_assets.sandbox.world.history import World

NUMERAI_STOCKS = 5592
"""Rows of era 0575."""
JUDGED_FROM = FIRST_VALIDATION_ERA
LAGS = (1, 2, 3, 4)

SMALL_COMPOSITION = {
    "intelligence": 2,
    "charisma": 3,
    "strength": 1,
    "dexterity": 4,
    "constitution": 2,
    "wisdom": 3,
    "agility": 2,
    "serenity": 3,
    "sunshine": 5,
    "rain": 17,
}
"""Groups of the 42 features of set small."""

SMALL_EIGENVALUES = (0.120, 0.063, 0.048, 0.045, 0.040, 0.033, 0.031, 0.030, 0.029, 0.028)
GROUP_CORRELATION = {
    "dexterity": 0.383,
    "wisdom": 0.285,
    "agility": 0.259,
    "intelligence": 0.200,
    "constitution": 0.145,
    "midnight": 0.145,
    "serenity": 0.143,
    "strength": 0.124,
    "charisma": 0.108,
    "faith": 0.102,
    "sunshine": 0.055,
}
PERSISTENCE = {1: 0.79, 2: 0.67, 4: 0.54, 8: 0.43, 26: 0.29}
CORR_AUTOCORRELATION = {1: 0.59, 2: 0.36, 3: 0.18, 4: -0.01}

_DRAWS = 20


@dataclass(frozen=True)
class Figure:
    """One comparison. ours is near enough to `real` if it is in [low, high], for the reason `why`.

    error: standard error of ours, NaN if it is exact or the std over draws is in `why`.
    """

    part: str
    name: str
    real: str
    ours: float
    low: float
    high: float
    why: str
    error: float = math.nan

    @property
    def holds(self) -> bool:
        return self.low <= self.ours <= self.high


def structure(section: Enlarged, era: int) -> list[Figure]:
    """Values, coverage, correlations and groups of one era, compared at the number of stocks of the real one."""
    bins = section.features(era)
    drawn = _small_draws(bins, section.groups)
    luck = "mean of 20 draws of 42 features by the groups of small; the real set is one draw"
    all_pairs = np.abs(m.off_diagonal(m.correlations(_existing(bins))))
    names = ("mean absolute", "median absolute", "90 %", "99 %", "largest", "participation ratio")
    real = (0.066, 0.030, 0.153, 0.589, 0.775, 25.6)
    ranges = ((0.05, 0.085), (0.02, 0.04), (0.11, 0.20), (0.38, 0.70), (0.65, 0.90), (22.0, 31.0))
    figures = [
        Figure(
            "values", "largest distance of a bin from a fifth of the era, rows", "< 1", m.bin_gap(bins), 0, 1, "exact"
        ),
        Figure("coverage", "spread of the share of 2s in a row", ".122", drawn["2s"], 0.105, 0.165, luck),
        Figure("coverage", "rows with 16 of 42 and more in bin 2", ".099", drawn["16"], 0.07, 0.13, luck),
    ]
    figures += [
        Figure("correlation, 42 features", name, f"{value:g}", drawn[name], low, high, luck)
        for name, value, (low, high) in zip(names, real, ranges, strict=True)
    ]
    figures += [
        Figure("eigenvalue shares, 42 features", f"no. {i + 1}", f"{value:.3f}", drawn[f"e{i}"], low, high, why)
        for i, value in enumerate(SMALL_EIGENVALUES)
        for low, high, why in [(value * 0.75, value * 1.33, "a third either way: as above")]
    ]
    size = "310 features stand for 780; means do not depend on how many"
    figures += [
        Figure("correlation, all features", "mean absolute", ".063", float(all_pairs.mean()), 0.045, 0.08, size),
        Figure("correlation, all features", "median absolute", ".030", float(np.median(all_pairs)), 0.022, 0.042, size),
        Figure(
            "correlation, all features",
            "largest",
            ".989",
            float(all_pairs.max()),
            0.75,
            1.0,
            "an extreme of 48,000 pairs, there of 304,000; near-copies are left out, as they teach a method nothing",
        ),
    ]
    by_group = m.within_groups(m.correlations(bins), section.groups)
    return figures + [
        Figure(
            "mean absolute correlation within groups",
            group,
            f"{value:.3f}",
            by_group[group],
            value * 0.5,
            value * 1.7,
            f"{section.groups.count(group)} features of ours: a factor of two down, 1.7 up",
        )
        for group, value in GROUP_CORRELATION.items()
    ]


def persistence(section: Enlarged, era: int) -> list[Figure]:
    """Autocorrelation of features over the stocks of both eras, overall and by speed."""
    at = {lag: era + lag for lag in PERSISTENCE}
    first, stocks = section.features(era), section.stocks(era)
    found = {
        lag: m.persistence(first, section.features(late), stocks, section.stocks(late)) for lag, late in at.items()
    }
    why = "real: 35 price features of US stocks, as Numerai's cannot be followed"
    figures = [
        Figure(
            "persistence", f"mean over features, lag {lag}", f"{value:.2f}", float(np.nanmean(found[lag])), *near, why
        )
        for lag, value in PERSISTENCE.items()
        for near in [(value - 0.07, value + 0.07)]
    ]
    quantiles = np.nanquantile(found[1], [0.1, 0.9])
    return [
        *figures,
        Figure(
            "persistence", "slow kind (volatility, size), lag 1", ".97 to .99", float(quantiles[1]), 0.93, 0.995, why
        ),
        Figure("persistence", "quick kind (14-day stochastic), lag 1", ".39", float(quantiles[0]), 0.25, 0.5, why),
    ]


def targets(section: Enlarged, eras: Iterable[int]) -> list[Figure]:
    """Shares of the target's values, and correlations among the targets pooled over `eras`."""
    names = [name for name in encoder.TARGETS if name != encoder.ALIAS]
    pooled, gap = [], 0.0
    for era in eras:
        table = np.column_stack([section.target(era, name) for name in names])
        main = table[:, names.index("target_ender_60")]
        shares = np.diff([0.0, *encoder.TARGET_CUTS, 1.0])
        sizes = [(main == value).sum() for value in encoder.TARGET_VALUES]
        gap = max(gap, float(np.abs(sizes - shares * len(main)).max()))
        pooled.append(table[np.isfinite(table).all(axis=1)])
    with_ender = np.asarray(np.corrcoef(np.concatenate(pooled).T))[names.index("target_ender_20")]
    twenty = [
        value
        for name, value in zip(names, with_ender, strict=True)
        if name.endswith("_20") and name != "target_ender_20"
    ]
    others = [
        value
        for name, value in zip(names, with_ender, strict=True)
        if name.endswith("_60") and name != "target_ender_60"
    ]
    sixty = float(with_ender[names.index("target_ender_60")])
    family, part = "two or three strong factors left in, or all", "correlation with ender_20"
    return [
        Figure("target", "largest distance from 5/20/50/20/5 %, rows", "< 1", gap, 0, 1, "exact"),
        Figure(part, "least of the 20D targets", ".66", min(twenty), 0.55, 0.72, family),
        Figure(part, "greatest of the 20D targets", ".79", max(twenty), 0.75, 0.85, family),
        Figure(part, "ender_60", ".465", sixty, 0.43, 0.52, "a third of the window is shared: .577 before binning"),
        Figure(part, "least of the others at 60 days", ".36", min(others), 0.32, 0.43, family),
        Figure(part, "greatest of the others at 60 days", ".43", max(others), 0.39, 0.50, family),
    ]


def feature_ics(section: Enlarged, eras: Iterable[int]) -> list[Figure]:
    """Information coefficients of single features. `eras` at least 13 apart share no return."""
    ender, agnes, expected, rows = [], [], [], 0
    for era in eras:
        bins, rows = section.features(era), len(section.stocks(era))
        ender.append(m.feature_ic(bins, section.target(era, "target_ender_20")))
        agnes.append(m.feature_ic(bins, section.target(era, "target_agnes_60")))
        oracle = np.sum(list(section.oracle(era, 20).values()), axis=0)
        # Of the target's correlation with the best prediction, a feature keeps its correlation with that prediction.
        attained = float(m.feature_ic(oracle[:, None], section.target(era, "target_ender_20"))[0])
        expected.append(attained * m.feature_ic(bins, oracle))
    noise = 1 / math.sqrt(rows)
    true_ic = np.abs(np.mean(expected, axis=0))
    std = np.std(ender, axis=0, ddof=1)
    stronger = (
        "without sampling noise; ours must be learnt from 30,000 rows at most instead of 2.7 million, so signals are several "
        "times stronger"
    )
    return [
        Figure(
            "single features",
            "median absolute mean IC, ender_20",
            ".0011",
            float(np.median(true_ic)),
            5e-4,
            4e-3,
            stronger,
        ),
        Figure(
            "single features",
            "largest absolute mean IC, ender_20",
            ".0095",
            float(true_ic.max()),
            0.005,
            0.03,
            stronger,
        ),
        Figure(
            "single features",
            "spread of IC over eras, ender_20, in units of 1/sqrt(n)",
            ".90",
            float(np.median(std) / noise),
            0.75,
            1.1,
            "no linear factor risk left: no more than sampling noise",
        ),
        Figure(
            "single features",
            "spread of IC over eras, agnes_60, less noise",
            ".06",
            float(np.median([m.excess_std(ic, rows) for ic in np.array(agnes).T])),
            0.03,
            0.09,
            "the real figure is inferred from published intervals: a factor of two down, 1.5 up",
        ),
    ]


@dataclass(frozen=True)
class ModelScores:
    """Per-era CORR of the world's example model on the enlarged economy, eras ascending without a gap.

    corr {horizon: (t,)}.  neutral: of every fourth era, CORR on 60 days after and before neutralisation to all features.
    rows: stocks an era.
    """

    eras: NDArray[np.int64]
    corr: dict[int, NDArray[np.float64]]
    neutral: NDArray[np.float64]
    rows: int


def example_model(world: World, *, stocks: int, first: int = JUDGED_FROM, last: int | None = None) -> ModelScores:
    """Score the example model of each chunk on the eras it did not see, with `stocks` stocks an era."""
    section = Enlarged.of(world, stocks=stocks, begins=first)
    eras = range(first, (last or resolved_through(world.newest_era, 60)) + 1)
    column = 1 + BENCHMARK_NAMES.index(EXAMPLE)
    corr: dict[int, list[float]] = {20: [], 60: []}
    neutral = []
    for era in eras:
        bins = section.features(era)
        predictions = world.predict(era, bins)[:, [column]]
        by_horizon = {horizon: section.target(era, f"target_ender_{horizon}") for horizon in corr}
        for horizon, target in by_horizon.items():
            corr[horizon].append(float(m.corr(predictions, target)[0]))
        if era % 4 == 0:
            after = m.corr(m.neutral(predictions, bins), by_horizon[60])[0]
            neutral.append((float(after), corr[60][-1]))
    values = {horizon: np.array(found) for horizon, found in corr.items()}
    return ModelScores(np.array(eras), values, np.array(neutral), stocks)


def model(scores: ModelScores) -> list[Figure]:
    """CORR of the example model: mean, era noise, overlap, and linear share."""
    figures = []
    for horizon, corr in scores.corr.items():
        error = m.standard_error(corr, spanned_eras(horizon))
        beyond = m.excess_std(corr, scores.rows)
        scaled = corr.mean() / math.sqrt(beyond**2 + 1 / NUMERAI_STOCKS)
        part = f"example model, ender_{horizon}"
        figures += [
            Figure(
                part,
                "mean CORR",
                ".0126 (small) to .0286 (recent 86 eras, all features)",
                float(corr.mean()),
                0.010,
                0.034,
                "the range between real models, and two standard errors of ours beyond it",
                error,
            ),
            Figure(
                part,
                "Sharpe at 5,592 stocks",
                ".86 (small) to 1.5 (medium)",
                float(scaled),
                0.6,
                2.1,
                "mean and era noise beyond sampling as measured, sampling noise as Numerai has it; spread of few windows",
            ),
            Figure(
                part,
                "spread over eras beyond sampling noise",
                ".006 (small) to .010 (medium)",
                beyond,
                0.0,
                0.020,
                f"a difference of two near numbers: sampling noise alone is {1 / math.sqrt(scores.rows):.3f} here",
            ),
        ]
    overlap = m.autocorrelation(scores.corr[20], LAGS)
    for lag, real in CORR_AUTOCORRELATION.items():
        near = "20-day windows of weekly eras overlap 4 eras; a band of two standard errors of so many eras"
        band = 2.3 / math.sqrt(len(scores.eras)) + 0.05
        figures.append(
            Figure(
                "overlap of CORR, ender_20", f"lag {lag}", f"{real:.2f}", overlap[lag], real - band, real + band, near
            )
        )
    after, before = scores.neutral.mean(axis=0)
    figures.append(
        Figure(
            "linear share",
            "CORR kept when neutral to all features",
            ".60 (small) to 1.00 (medium)",
            float(after / before),
            0.4,
            1.2,
            "a ratio of two means, each with the error above",
        )
    )
    return figures


def contributions(world: World) -> list[Figure]:
    """Contribution of near-copies beyond what they copy, and of the benchmark beyond the meta model, as published."""
    found: dict[str, list[float]] = {"bmc": [], "mmc": [], "benchmark": []}
    for era in range(JUDGED_FROM, resolved_through(world.newest_era, 60) + 1):
        target, published = world.target(era, "target_ender_60"), world.predictions(era)
        benchmark, meta = published[EXAMPLE].to_numpy(), published[META_MODEL].to_numpy()
        found["bmc"].append(_contribution(_near_copy(benchmark, era), benchmark, target))
        if np.isfinite(meta).any():
            found["mmc"].append(_contribution(_near_copy(meta, era), meta, target))
            found["benchmark"].append(_contribution(benchmark, meta, target))
    series = {name: np.array(values) for name, values in found.items()}
    windows = len(series["benchmark"]) / resolve_lag(60)
    errors = {name: m.standard_error(series[name], spanned_eras(60)) for name in ("bmc", "mmc")}
    # A kernel estimate is useless for so few windows: count as many independent ones as fit.
    errors["benchmark"] = float(series["benchmark"].std() / math.sqrt(windows))
    copy = "what is no copy of it is noise: three standard errors"
    rest = "two and a half standard errors of 3.7 windows beyond the real range"
    lines = (
        ("BMC of a near-copy of the benchmark", "0", "bmc", 3 * errors["bmc"], copy),
        ("MMC of a near-copy of the meta model", "0", "mmc", 3 * errors["mmc"], copy),
        ("MMC of the benchmark", "-.0042 (live), .0053", "benchmark", 0.005 + 2.5 * errors["benchmark"], rest),
    )
    return [
        Figure("contribution", name, real, float(series[key].mean()), -near, near, why, errors[key])
        for name, real, key, near, why in lines
    ]


def _near_copy(ranks: NDArray[np.float64], era: int) -> NDArray[np.float64]:
    """Predictions that correlate .985 with `ranks` in (0, 1), the rest being noise."""
    return np.asarray(ndtri(ranks) + 0.175 * np.random.default_rng(era).standard_normal(len(ranks)))


def _contribution(
    predictions: NDArray[np.float64], reference: NDArray[np.float64], target: NDArray[np.float32]
) -> float:
    return float(m.contribution(predictions[:, None], reference, target)[0])


def _existing(bins: NDArray[np.int8]) -> NDArray[np.int8]:
    return bins[:, (bins != encoder.MISSING_BIN).any(axis=0)]


def _small_draws(bins: NDArray[np.int8], groups: tuple[str, ...]) -> dict[str, float]:
    """Means over draws of 42 features."""
    exists = (bins != encoder.MISSING_BIN).any(axis=0)
    kept, of = bins[:, exists], [group for group, known in zip(groups, exists, strict=True) if known]
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(_DRAWS):
        drawn = kept[:, m.like_small(of, SMALL_COMPOSITION, rng)]
        correlation = m.correlations(drawn)
        pairs, twos = np.abs(m.off_diagonal(correlation)), m.middle_share(drawn)
        draws.append(
            {
                "2s": twos.std(),
                "16": (twos >= 16 / 42).mean(),
                "mean absolute": pairs.mean(),
                "median absolute": np.median(pairs),
                "90 %": np.quantile(pairs, 0.9),
                "99 %": np.quantile(pairs, 0.99),
                "largest": pairs.max(),
                "participation ratio": m.participation_ratio(correlation),
                **{f"e{i}": share for i, share in enumerate(m.eigenvalue_shares(correlation)[:10])},
            }
        )
    return {name: float(np.mean([draw[name] for draw in draws])) for name in draws[0]}
