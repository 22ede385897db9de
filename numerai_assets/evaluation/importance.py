"""Feature importance of a method: measured on out-of-sample eras, one by one, then summarised.

`by_era` frames have one row per era and feature: era, vintage, feature, gain (share of the vintage's own importances),
permutation (CORR lost when it is permuted, NaN where it was not or the target is unknown) and shap (mean absolute contribution
to the raw scores, NaN for a method whose scores are not additive).
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from numerai_assets.evaluation.breakdowns import leaf_sets
from numerai_assets.evaluation.uncertainty import standard_errors

NO_GROUP = "none"


def every_power_of_two(eras: Iterable[int], most: int) -> list[int]:
    """At most `most` of the eras: the multiples of the smallest sufficient power of two.

    As eras are added the choice only thins out, so that no era has to be measured again.
    """
    chosen, stride = sorted(eras), 1
    while len(chosen) > most:
        stride *= 2
        chosen = [era for era in chosen if era % stride == 0]
    return chosen


def groups_of(features: Sequence[str], feature_sets: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Group of each feature: the last leaf set of features.json that has it, or the block of a column `block.name`.

    The last, because the sets of the release's own groups come after the sets that combine some features of each.
    """
    known = {feature: name for name, members in leaf_sets(feature_sets).items() for feature in members}
    return {
        feature: known.get(feature, feature.split(".", 1)[0] if "." in feature else NO_GROUP) for feature in features
    }


def gain_shares(explained: pd.DataFrame) -> pd.DataFrame:
    """Columns feature and gain, a share of the sum, from `Method.explain`: its gain, or else its first importance."""
    measure = "gain" if "gain" in explained else next(name for name in explained if name != "feature")
    size = explained[measure].abs()
    return pd.DataFrame({"feature": explained["feature"], "gain": size / max(size.sum(), 1e-300)})


def importances(by_era: pd.DataFrame, groups: Mapping[str, str], *, horizon: int) -> pd.DataFrame:
    """One row per feature, sorted by shap, or by gain where the method has no shap; largest first.

    feature, group; gain of the newest vintage; permutation: mean over the eras, with its Newey-West standard error
    permutation_se; permuted_eras; shap: mean over the eras. horizon: weekdays of the target of permutation.
    """
    newest = by_era[by_era["vintage"] == by_era["vintage"].max()].groupby("feature", sort=False)["gain"].first()
    features = by_era["feature"].unique()
    lost = by_era.pivot(index="era", columns="feature", values="permutation").reindex(columns=features)
    table = pd.DataFrame(
        {
            "feature": features,
            "group": [groups[feature] for feature in features],
            "gain": newest.reindex(features, fill_value=0.0).to_numpy(),
            "permutation": lost.mean().to_numpy(),
            "permutation_se": standard_errors(lost.to_numpy(float), horizon=horizon, eras=lost.index.to_numpy()),
            "permuted_eras": lost.notna().sum().to_numpy(),
            "shap": by_era.groupby("feature", sort=False)["shap"].mean().to_numpy(),
        }
    )
    return table.sort_values(["shap", "gain"], ascending=False, ignore_index=True)


def by_group(table: pd.DataFrame) -> pd.DataFrame:
    """One row per group of `importances`, largest gain first: features, used (with any gain), shares of gain and shap, best.

    best: the most important feature of the group.
    """
    shares = table.assign(shap=table["shap"] / table["shap"].sum(), used=table["gain"] > 0)
    grouped = shares.groupby("group", sort=False)
    found = grouped.agg(
        features=("feature", "size"),
        used=("used", "sum"),
        gain=("gain", "sum"),
        shap=("shap", lambda parts: parts.sum(min_count=1)),
        best=("feature", "first"),
    )
    return found.sort_values("gain", ascending=False).reset_index()


def over_time(by_era: pd.DataFrame, features: list[str]) -> pd.DataFrame:
    """(features, eras) share of each feature in the total shap of the era, or in the gain where there is no shap."""
    measure = "shap" if by_era["shap"].notna().any() else "gain"
    table = by_era.pivot(index="feature", columns="era", values=measure)
    return (table / table.sum()).reindex(features).replace([np.inf, -np.inf], np.nan)
