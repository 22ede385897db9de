"""Breakdowns of scores: by method, regime, decile, feature group and week.

`scores` are frames of `diagnostics.era_scores`: index era, columns vintage, CORR, MMC, BMC and payout, NaN where a
target has not resolved. Standard errors are Newey-West over calendar eras; the eras between those of a regime count as
gaps, so that scattered eras are not treated as consecutive.
"""

import datetime as dt
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from numerai_assets.eras import friday_of
from numerai_assets.errors import ScoringError
from numerai_assets.evaluation.comparison import LEAST_ERAS, compare_each
from numerai_assets.evaluation.era_series import max_drawdown, sharpe
from numerai_assets.evaluation.uncertainty import standard_error

Array = NDArray[np.float64]
Scores = Mapping[str, pd.DataFrame]

HEADLINES = ("corr60", "mmc60", "payout")
DECILES = 10
_VOLATILITY_ERAS = 26
_TERCILES = ("low", "middle", "high")
_WEEK = dt.timedelta(days=7)


def horizon_of_score(name: str) -> int:
    """Horizon in weekdays of the target of a score, by its name; the payout is on the 60-day target."""
    return 20 if name.endswith("20") else 60


def compared_methods(scores: Scores) -> pd.DataFrame:
    """One row per method: eras, vintages, mean and standard error of each headline, Sharpe and drawdown of the payout.

    Methods without a resolved era are left out.
    """
    rows = []
    for method, frame in scores.items():
        if not frame["corr60"].notna().any():
            continue
        paid = frame["payout"].dropna().to_numpy(float)
        rows.append(
            {"method": method, "eras": int(frame["corr60"].notna().sum()), "vintages": int(frame["vintage"].nunique())}
            | _means(frame, np.ones(len(frame), bool))
            | {"sharpe": float(sharpe(paid)), "max_drawdown": float(max_drawdown(paid))}
        )
    return pd.DataFrame(rows)


def regimes(scores: pd.DataFrame, *, volatility: pd.Series | None = None, since: dt.date | None = None) -> pd.DataFrame:
    """One row per regime: by year, by tercile of volatility, before and since a date; means and standard errors.

    volatility: by era, known before the era, e.g. of a market; None takes the standard deviation of the method's own CORR
    over the 26 eras before each. since: the date; None makes no such split.
    """
    if scores.empty:
        return pd.DataFrame()
    days = pd.Series([friday_of(int(era)) for era in scores.index], index=scores.index)
    parts: list[tuple[str, str, NDArray[np.bool_]]] = [
        ("year", str(year), np.array([day.year == year for day in days])) for year in sorted({d.year for d in days})
    ]
    known = _own_volatility(scores["corr60"]) if volatility is None else volatility.reindex(scores.index)
    if known.nunique() >= len(_TERCILES):
        tercile = pd.qcut(known.rank(method="first"), len(_TERCILES), labels=False)
        parts += [("volatility", name, (tercile == place).to_numpy()) for place, name in enumerate(_TERCILES)]
    if since is not None:
        after = np.array([day >= since for day in days])
        parts += [("date", f"before {since}", ~after), ("date", f"since {since}", after)]
    rows = [
        {"by": kind, "regime": name, "eras": int(scores["corr60"].notna().to_numpy()[which].sum())}
        | _means(scores, which)
        | {"positive": _positive(scores["corr60"].to_numpy(float)[which])}
        for kind, name, which in parts
    ]
    return pd.DataFrame([row for row in rows if row["eras"]])


def newest_resolved(scores: Scores) -> pd.DataFrame:
    """One row per method: its newest era with a 60-day score, the scores, and the rank of CORR in its history (0 to 1)."""
    rows = []
    for method, frame in scores.items():
        resolved = frame[frame["corr60"].notna()]
        if len(resolved):
            last = resolved.iloc[-1]
            rows.append(
                {"method": method, "era": int(resolved.index[-1]), "date": str(friday_of(int(resolved.index[-1])))}
                | {name: float(last[name]) for name in HEADLINES}
                | {"place_in_history": float((resolved["corr60"] <= last["corr60"]).mean())}
            )
    return pd.DataFrame(rows)


def paired_with(baseline: str, scores: Scores, names: Sequence[str] = HEADLINES) -> pd.DataFrame:
    """One row per score and method: the difference to the baseline method on their common eras.

    Columns: score, method, eras, difference, se, p, adjusted_p (Holm, over the methods), low and high at 0.9. A pair with
    fewer than `comparison.LEAST_ERAS` common eras is left out.
    """
    rows = []
    for name in names:
        theirs = scores[baseline][name].astype(float).dropna()
        enough = {
            method: frame[name].astype(float).dropna()
            for method, frame in scores.items()
            if method != baseline and len(frame[name].dropna().index.intersection(theirs.index)) >= LEAST_ERAS
        }
        found = compare_each(enough, theirs, horizon=horizon_of_score(name), seed=0)
        rows += [
            {
                "score": name,
                "method": method,
                "eras": item.difference.eras,
                "difference": item.difference.mean,
                "se": item.difference.error,
                "p": item.difference.p,
                "adjusted_p": item.adjusted_p,
                "low": item.low,
                "high": item.high,
            }
            for method, item in found.items()
        ]
    return pd.DataFrame(rows)


def score_correlations(scores: Scores, name: str = "corr60") -> pd.DataFrame:
    """(m, m) Pearson correlation of a score between methods, over their common eras; NaN for fewer than three."""
    table = pd.DataFrame({method: frame[name] for method, frame in scores.items()})
    return table.astype(float).corr(min_periods=3)


def rank_correlations(predictions: NDArray[np.floating]) -> Array:
    """(m, m) Spearman correlation of predictions (n, m) of one era; NaN for a column with NaN or without variation."""
    ranks = np.stack([rankdata(column, nan_policy="propagate") for column in predictions.T])
    ranks -= ranks.mean(axis=1, keepdims=True)
    norms = np.sqrt((ranks**2).sum(axis=1))
    products, scale = ranks @ ranks.T, np.outer(norms, norms)
    # Rounded as in `gate.rank_correlation`, so that a copy is exactly 1.
    return np.asarray(np.round(np.divide(products, scale, out=np.full(scale.shape, np.nan), where=scale > 0), 12))


def calibration(prediction: NDArray[np.floating], target: NDArray[np.floating], *, bins: int = DECILES) -> Array:
    """(bins,) mean target (n,) of the rows of one era by equal slices of the prediction's rank, lowest first.

    Rows with a NaN target are ignored; NaN for a slice without rows. Raises ScoringError for different lengths.
    """
    if len(prediction) != len(target):
        raise ScoringError(f"calibration: {len(prediction):,} predictions for {len(target):,} targets")
    known = ~np.isnan(target) & ~np.isnan(prediction)
    if not known.any():
        return np.full(bins, np.nan)
    place = ((rankdata(prediction[known]) - 0.5) / known.sum() * bins).astype(int)
    count = np.bincount(place, minlength=bins)
    total = np.bincount(place, weights=target[known], minlength=bins)
    return np.asarray(np.divide(total, count, out=np.full(bins, np.nan), where=count > 0))


def group_exposures(exposures: NDArray[np.floating], groups: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """Root mean square of the exposures (d,) of each group's features, by their indices; NaN exposures are ignored."""
    found = {}
    for name, places in groups.items():
        own = np.asarray(exposures)[list(places)]
        own = own[~np.isnan(own)]
        found[name] = float(np.sqrt(np.mean(own**2))) if len(own) else math.nan
    return found


def era_bins(table: pd.DataFrame, bins: int) -> pd.DataFrame:
    """Means over at most `bins` runs of consecutive rows (index era, ascending), named by their first and last era."""
    runs = (
        [part for part in np.array_split(np.arange(len(table)), min(bins, len(table))) if len(part)]
        if len(table)
        else []
    )
    means = {_span(table.index[run[0]], table.index[run[-1]]): table.iloc[run].mean() for run in runs}
    return pd.DataFrame(means).T.reindex(columns=table.columns)


def leaf_sets(feature_sets: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    """Feature sets that contain no other set: the groups of a release, without the sets that combine groups."""
    members = {name: set(features) for name, features in feature_sets.items()}
    return {
        name: features
        for name, features in feature_sets.items()
        if not any(other < members[name] for other in members.values())
    }


def week_changes(live: pd.DataFrame) -> pd.DataFrame:
    """Live scores (`tournament.scores.COLUMNS`) that changed within the week before the newest day on record.

    One row per slot, round and score: the value now, the value of the last day before the week (NaN for a new score), the
    change. Largest first.
    """
    if live.empty:
        return pd.DataFrame()
    day = pd.to_datetime(live["date"])
    keys = ["slot", "round_number", "display_name"]
    ordered = live.assign(moment=day).sort_values([*keys, "moment", "day"])
    now = ordered.groupby(keys)["value"].last()
    before = ordered[ordered["moment"] <= day.max() - _WEEK].groupby(keys)["value"].last()
    table = pd.DataFrame({"now": now, "week_ago": before.reindex(now.index)})
    table["change"] = table["now"] - table["week_ago"]
    moved = table[table["change"].ne(0)]
    return moved.reindex(moved["change"].abs().sort_values(ascending=False, kind="stable").index).reset_index()


def share_within(live: pd.Series, band: tuple[float, float]) -> float:
    """Share of the live scores inside the band; NaN without any."""
    values = live.dropna().to_numpy(float)
    return float(((values >= band[0]) & (values <= band[1])).mean()) if len(values) else math.nan


def validation_band(scores: pd.Series) -> tuple[float, float]:
    """Range of nine of ten per-era validation scores: their 5 % and 95 % quantiles; NaN without any."""
    values = scores.dropna().to_numpy(float)
    if not len(values):
        return math.nan, math.nan
    low, high = np.quantile(values, [0.05, 0.95])
    return float(low), float(high)


def _means(scores: pd.DataFrame, which: NDArray[np.bool_]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name in HEADLINES:
        own = scores[name].where(which)
        found[name] = float(own.mean())
        found[f"{name}_se"] = standard_error(own.to_numpy(float), horizon=horizon_of_score(name), eras=scores.index)
    return found


def _own_volatility(corr: pd.Series) -> pd.Series:
    return corr.rolling(_VOLATILITY_ERAS, min_periods=_VOLATILITY_ERAS // 2).std().shift()


def _positive(values: Array) -> float:
    known = values[~np.isnan(values)]
    return float((known > 0).mean()) if len(known) else math.nan


def _span(first: int, last: int) -> str:
    return f"{first:04d}" if first == last else f"{first:04d}-{last:04d}"
