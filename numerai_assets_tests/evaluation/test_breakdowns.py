"""Scores taken apart: laws of standard errors, regimes, correlations, slices, groups and weeks."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from numerai_assets.eras import friday_of
from numerai_assets.errors import ScoringError
from numerai_assets.evaluation.breakdowns import (
    calibration,
    compared_methods,
    era_bins,
    group_exposures,
    leaf_sets,
    newest_resolved,
    paired_with,
    rank_correlations,
    regimes,
    score_correlations,
    share_within,
    validation_band,
    week_changes,
)
from numerai_assets.evaluation.uncertainty import standard_error
from numerai_assets_tests.evaluation.synthetic_scores import synthetic_scores


def test_methods_stand_beside_each_other_with_means_errors_and_falls() -> None:
    scores = {"a": synthetic_scores(), "b": synthetic_scores(seed=1).assign(corr60=np.nan)}

    table = compared_methods(scores)

    (row,) = table.to_dict("records")
    resolved = scores["a"]["corr60"].dropna().to_numpy()
    assert (row["method"], row["eras"], row["vintages"]) == ("a", 147, 4)
    assert row["corr60"] == pytest.approx(resolved.mean())
    assert row["corr60_se"] == pytest.approx(standard_error(resolved, horizon=60))
    assert row["max_drawdown"] >= 0


def test_each_split_into_regimes_has_every_resolved_era_once_but_those_without_a_volatility() -> None:
    scores = synthetic_scores()
    since = friday_of(1000)

    table = regimes(scores, since=since)

    eras = table.groupby("by")["eras"].sum()
    assert eras["year"] == eras["date"] == 147
    assert eras["volatility"] == 147 - 13
    assert table.loc[table["regime"] == f"since {since}", "eras"].item() == 47
    # Eras weigh alike: the mean over the regimes is that of all.
    years = table[table["by"] == "year"]
    assert np.average(years["corr60"], weights=years["eras"]) == pytest.approx(scores["corr60"].mean())


def test_volatility_of_a_market_may_split_instead_of_the_methods_own() -> None:
    scores = synthetic_scores()
    market = pd.Series(np.arange(160.0), index=scores.index)

    table = regimes(scores, volatility=market).set_index("regime")

    assert table.loc["low", "corr60"] == pytest.approx(scores["corr60"].iloc[:54].mean(), rel=0.05)
    assert table.loc["high", "eras"] < table.loc["low", "eras"]  # The newest eras have not resolved.


@given(cut=st.integers(120, 145))
def test_the_volatility_regime_of_an_era_is_known_before_it(cut: int) -> None:
    from numerai_assets.evaluation.breakdowns import _own_volatility

    corr = synthetic_scores()["corr60"].iloc[:147]
    later = corr.copy()
    later.iloc[cut:] = 9.0

    pd.testing.assert_series_equal(_own_volatility(corr).iloc[: cut + 1], _own_volatility(later).iloc[: cut + 1])


def test_no_scores_have_no_regimes_and_no_newest_era() -> None:
    nothing = synthetic_scores().iloc[:0]

    assert regimes(nothing).empty
    assert newest_resolved({"a": nothing}).empty
    assert compared_methods({"a": nothing}).empty


def test_the_newest_resolved_era_is_placed_in_the_methods_own_history() -> None:
    scores = synthetic_scores()
    scores.loc[1046, "corr60"] = 9.0

    (row,) = newest_resolved({"a": scores}).to_dict("records")

    assert (row["era"], row["date"], row["place_in_history"]) == (1046, str(friday_of(1046)), 1.0)


def test_methods_are_compared_with_the_first_era_by_era_where_they_share_a_year() -> None:
    base = synthetic_scores(160)
    better = base.assign(corr60=base["corr60"] + 0.01, mmc60=np.nan)
    scores = {"base": base, "better": better, "short": base.iloc[:40]}

    table = paired_with("base", scores, ("corr60", "mmc60")).set_index("method")

    assert list(table.index) == ["better"]
    assert table.loc["better", ["score", "eras"]].tolist() == ["corr60", 147]
    assert table.loc["better", "difference"] == pytest.approx(0.01)
    assert table.loc["better", "se"] == pytest.approx(0, abs=1e-9)


def test_scores_are_correlated_over_the_eras_that_both_have() -> None:
    first, second = synthetic_scores(seed=1), synthetic_scores(first=950, seed=2)
    both = pd.concat([first["corr60"], second["corr60"]], axis=1).dropna()

    table = score_correlations({"a": first, "b": second, "c": second.iloc[:2]})

    assert table.loc["a", "b"] == pytest.approx(np.corrcoef(both.to_numpy().T)[0, 1])
    assert table.loc["b", "b"] == pytest.approx(1)
    assert np.isnan(table.loc["a", "c"])


@given(seed=st.integers(0, 99))
def test_rank_correlations_are_spearmans_and_a_copy_is_exactly_1(seed: int) -> None:
    predictions = np.random.default_rng(seed).integers(0, 9, (40, 3)).astype(float)

    found = rank_correlations(np.column_stack([predictions, predictions[:, 0] ** 3, np.full(40, np.nan), np.ones(40)]))

    np.testing.assert_allclose(found[:3, :3], spearmanr(predictions).statistic, atol=1e-9)
    assert found[0, 3] == 1
    assert np.isnan(found[4]).all()
    assert np.isnan(found[5]).all()


@given(seed=st.integers(0, 99), rows=st.integers(10, 80))
def test_slices_weigh_all_rows_and_follow_any_rising_function_of_the_prediction(seed: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    prediction, target = rng.normal(size=rows), rng.integers(0, 5, rows) / 4

    found = calibration(prediction, target, bins=5)

    np.testing.assert_array_equal(found, calibration(np.exp(prediction), target, bins=5))
    sizes = np.bincount(((np.arange(rows) + 0.5) / rows * 5).astype(int))
    assert np.average(found, weights=sizes) == pytest.approx(target.mean())


def test_a_perfect_prediction_has_rising_slices_and_an_unresolved_era_has_none() -> None:
    target = np.arange(100) / 100

    assert (np.diff(calibration(target, target)) > 0).all()
    assert np.isnan(calibration(target, np.full(100, np.nan))).all()
    with pytest.raises(ScoringError, match="100 predictions for 99 targets"):
        calibration(target, target[1:])


def test_a_groups_exposure_is_the_root_mean_square_of_its_features() -> None:
    found = group_exposures(np.array([0.3, -0.4, np.nan, 0.1]), {"a": [0, 1, 2], "b": [3], "c": [2], "d": []})

    assert found["a"] == pytest.approx(np.sqrt(0.125))
    assert found["b"] == pytest.approx(0.1)
    assert np.isnan([found["c"], found["d"]]).all()


def test_era_bins_are_runs_of_neighbours_named_by_their_ends() -> None:
    table = pd.DataFrame({"a": [1.0, 3.0, 5.0, 7.0]}, index=[601, 605, 609, 613])

    assert era_bins(table, 2).to_dict("index") == {"0601-0605": {"a": 2.0}, "0609-0613": {"a": 6.0}}
    assert list(era_bins(table, 9).index) == ["0601", "0605", "0609", "0613"]
    assert era_bins(table.iloc[:0], 3).empty


def test_groups_of_a_release_are_its_sets_without_another_within_them() -> None:
    sets = {"all": ["x", "y", "z"], "medium": ["x", "y"], "wisdom": ["x"], "faith": ["y", "z"]}

    assert list(leaf_sets(sets)) == ["wisdom", "faith"]


def test_live_scores_that_moved_in_the_week_before_the_newest_day_are_told_largest_first() -> None:
    def score(name: str, day: int, value: float, round_number: int = 7) -> dict[str, object]:
        date = dt.date(2026, 3, 1) + dt.timedelta(days=day)
        return {
            "slot": "s",
            "round_number": round_number,
            "display_name": name,
            "day": day,
            "date": date,
            "value": value,
        }

    live = pd.DataFrame(
        [
            score("corr60", 1, 0.1),
            score("corr60", 9, 0.4),
            score("mmc60", 1, 0.2),
            score("mmc60", 9, 0.2),
            score("corr60", 9, 0.05, round_number=8),
        ]
    )

    moved = week_changes(live)

    assert moved[["round_number", "display_name"]].to_numpy().tolist() == [[7, "corr60"], [8, "corr60"]]
    assert moved["change"].tolist()[0] == pytest.approx(0.3)
    assert np.isnan(moved["week_ago"].iloc[1])
    assert week_changes(live.iloc[:0]).empty


def test_the_band_of_validation_holds_nine_of_ten_of_its_eras() -> None:
    scores = pd.Series(np.arange(101.0))

    band = validation_band(scores)

    assert band == (5.0, 95.0)
    assert share_within(scores, band) == pytest.approx(0.9, abs=0.01)
    assert np.isnan([*validation_band(scores * np.nan), share_within(scores * np.nan, band)]).all()
