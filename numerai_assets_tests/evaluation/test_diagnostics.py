"""Per-era scores and the validation table: what cannot be known yet is NaN and is left out of means."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from numerai_assets.evaluation.diagnostics import SCORES, ScoredRows, era_scores, validation_table
from numerai_assets.evaluation.era_series import apy, max_drawdown, smart_sharpe, sortino
from numerai_assets.evaluation.metrics import contribution, corr
from numerai_assets.evaluation.uncertainty import estimate, standard_error

ROWS = 60
NOTHING = np.full(ROWS, np.nan)


def scored_era(
    era: int, *, vintage: int = 40, resolved: tuple[int, ...] = (20, 60), references: bool = True
) -> ScoredRows:
    rng = np.random.default_rng(era)
    targets = {h: rng.choice([0, 0.25, 0.5, 0.75, 1], ROWS) for h in (20, 60)}
    return ScoredRows(
        era=era,
        vintage=vintage,
        prediction=rng.random(ROWS),
        targets={h: values if h in resolved else NOTHING for h, values in targets.items()},
        meta_model=rng.random(ROWS) if references else NOTHING,
        benchmark={h: rng.random(ROWS) if references else NOTHING for h in (20, 60)},
    )


def test_each_score_is_that_of_its_target_and_reference() -> None:
    rows = scored_era(41)

    scores = era_scores([rows]).loc[41]

    ours = rows.prediction[:, None]
    assert scores["vintage"] == 40
    for horizon in (20, 60):
        target = rows.targets[horizon]
        assert scores[f"corr{horizon}"] == pytest.approx(corr(ours, target)[0], abs=1e-12)
        assert scores[f"spearman{horizon}"] == pytest.approx(spearmanr(rows.prediction, target).statistic, abs=1e-12)
        assert scores[f"mmc{horizon}"] == pytest.approx(contribution(ours, rows.meta_model, target)[0], abs=1e-12)
        assert scores[f"bmc{horizon}"] == pytest.approx(
            contribution(ours, rows.benchmark[horizon], target)[0], abs=1e-12
        )
    assert scores["payout"] == pytest.approx(np.clip(3 * scores["corr60"] + 15 * scores["mmc60"], -1, 1))


def test_an_unresolved_target_has_no_scores_and_no_payout() -> None:
    scores = era_scores([scored_era(41, resolved=(20,))]).loc[41]

    assert scores[["corr60", "spearman60", "mmc60", "bmc60", "payout"]].isna().all()
    assert scores[["corr20", "spearman20", "mmc20", "bmc20"]].notna().all()


def test_an_era_before_the_references_has_its_corr_alone() -> None:
    scores = era_scores([scored_era(41, references=False)]).loc[41]

    assert scores[["corr20", "corr60"]].notna().all()
    assert scores[["mmc20", "mmc60", "bmc20", "bmc60", "payout"]].isna().all()


def test_rows_without_a_target_are_left_out_of_their_era() -> None:
    rows = scored_era(41)
    rows.targets[60][:5] = np.nan

    scores = era_scores([rows]).loc[41]

    assert scores["corr60"] == pytest.approx(corr(rows.prediction[5:, None], rows.targets[60][5:])[0], abs=1e-12)


def test_eras_stand_in_order_whatever_order_they_came_in() -> None:
    scores = era_scores(scored_era(era, vintage=era - 1) for era in (43, 41, 42))

    assert scores.index.tolist() == [41, 42, 43]
    assert scores.index.name == "era"
    assert scores["vintage"].tolist() == [40, 41, 42]
    assert scores.columns.tolist() == ["vintage", *SCORES, "payout"]


def test_no_eras_make_an_empty_frame_with_its_columns() -> None:
    scores = era_scores([])

    assert len(scores) == 0
    assert scores.columns.tolist() == ["vintage", *SCORES, "payout"]
    assert len(validation_table(scores)) == 0
    assert validation_table(scores).columns.tolist()[:3] == ["score", "eras", "mean"]


def test_the_table_has_a_row_for_each_score_that_some_era_has() -> None:
    scores = era_scores([*(scored_era(e) for e in range(41, 61)), *(scored_era(e, resolved=(20,)) for e in (61, 62))])

    table = validation_table(scores).set_index("score")

    of_horizon = ("corr", "spearman", "mmc", "bmc")
    assert table.index.tolist() == [*(f"{score}{horizon}" for horizon in (60, 20) for score in of_horizon), "payout"]
    assert table["eras"].to_dict() == {
        **dict.fromkeys([*(f"{score}60" for score in of_horizon), "payout"], 20),
        **dict.fromkeys((f"{score}20" for score in of_horizon), 22),
    }
    known = scores["corr60"].dropna()
    row = table.loc["corr60"]
    assert row["mean"] == pytest.approx(known.mean())
    assert row["std"] == pytest.approx(known.std(ddof=0))
    assert row["sharpe"] == pytest.approx(known.mean() / known.std(ddof=0))
    assert row["max_drawdown"] == pytest.approx(max_drawdown(known.to_numpy()))
    assert row["se"] == pytest.approx(standard_error(known.to_numpy(), horizon=60))
    assert (row["low"], row["high"]) == estimate(known.to_numpy(), horizon=60).interval(0.9)
    assert table.loc["payout", "se"] == pytest.approx(standard_error(scores["payout"].dropna().to_numpy(), horizon=60))
    assert table.loc["mmc20", "se"] == pytest.approx(standard_error(scores["mmc20"].to_numpy(), horizon=20))


def test_a_score_that_no_era_has_is_not_in_the_table() -> None:
    table = validation_table(era_scores([scored_era(e, references=False) for e in (41, 42)]))

    assert table["score"].tolist() == ["corr60", "spearman60", "corr20", "spearman20"]


def test_a_single_era_has_a_mean_and_no_error() -> None:
    table = validation_table(era_scores([scored_era(41)])).set_index("score")

    assert table.loc["corr60", "eras"] == 1
    assert pd.isna(table.loc["corr60", "se"])
    assert pd.isna(table.loc["corr60", "sharpe"])


def test_eras_that_lie_apart_do_not_count_as_neighbours() -> None:
    eras = [*range(41, 61), *range(200, 220)]
    scores = era_scores([scored_era(e) for e in eras])

    row = validation_table(scores).set_index("score").loc["corr60"]

    known = scores["corr60"].to_numpy()
    assert row["se"] == pytest.approx(standard_error(known, horizon=60, eras=np.array(eras)))
    assert row["se"] != pytest.approx(standard_error(known, horizon=60))


def test_the_ratio_is_deflated_where_the_trials_were_counted_and_not_otherwise() -> None:
    scores = era_scores([scored_era(e) for e in range(41, 101)])

    plain, one, many = (validation_table(scores, trials=trials) for trials in (None, 1, 50))

    assert "deflated_sharpe" not in plain.columns
    assert (many["deflated_sharpe"] < one["deflated_sharpe"]).all()
    assert many["deflated_sharpe"].between(0, 1).all()
    assert many.drop(columns=["sortino", "smart_sharpe", "apy", "deflated_sharpe"]).equals(plain)
    for row in many.itertuples():
        values = scores[row.score].dropna().to_numpy()
        assert row.sortino == sortino(values)
        assert row.apy == apy(values)
        assert row.smart_sharpe == smart_sharpe(values, horizon=20 if row.score.endswith("20") else 60)
