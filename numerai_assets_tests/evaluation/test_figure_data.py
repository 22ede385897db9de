"""The numbers behind the figures: the same for the report and for Dagster."""

import numpy as np
import pandas as pd
import pytest

from numerai_assets.eras import friday_of
from numerai_assets.evaluation.era_series import max_drawdown
from numerai_assets.evaluation.figure_data import (
    above_limit,
    cumulative_series,
    drawdown_series,
    era_series,
    heat_table,
    live_tracks,
)
from numerai_assets.evaluation.uncertainty import standard_error
from numerai_assets_tests.evaluation.synthetic_scores import synthetic_scores


def test_a_series_has_the_eras_with_a_score_and_their_fridays() -> None:
    scores = synthetic_scores(20).assign(mmc60=np.nan)

    found = era_series(scores, ("corr60", "mmc60"))

    assert list(found) == ["corr60"]
    assert found["corr60"].eras.tolist() == list(range(900, 907))
    assert str(found["corr60"].days[0]) == friday_of(900).isoformat()
    np.testing.assert_array_equal(found["corr60"].values, scores["corr60"].dropna())


def test_a_cumulative_score_ends_at_its_sum_in_the_middle_of_its_band() -> None:
    known = synthetic_scores()["corr60"].dropna()

    line = cumulative_series(synthetic_scores(), ["corr60"])["corr60"]

    assert line.mean == pytest.approx(known.mean())
    assert line.values[-1] == pytest.approx(known.sum())
    reach = 1.645 * len(known) * standard_error(known.to_numpy(), horizon=60)
    assert (line.low[-1], line.high[-1]) == pytest.approx((known.sum() - reach, known.sum() + reach))


def test_the_deepest_point_is_the_maximum_drawdown() -> None:
    scores = synthetic_scores(mean=-0.01)

    line = drawdown_series(scores, ["payout"])["payout"]

    assert line.values.max() <= 0
    assert -line.values.min() == pytest.approx(max_drawdown(scores["payout"].dropna().to_numpy()))


@pytest.mark.parametrize(
    ("options", "ends"), [({}, (-0.4, 0.4)), ({"is_signed": False}, (0, 0.4)), ({"greatest": 1.0}, (-1, 1))]
)
def test_the_colour_scale_of_a_heat_map_is_symmetric_or_begins_at_0(
    options: dict[str, float], ends: tuple[float, float]
) -> None:
    cells = heat_table(pd.DataFrame([[0.1, -0.4], [np.nan, 0.2]], index=[1, 2], columns=["a", "b"]), **options)  # type: ignore[arg-type]

    assert (cells.least, cells.greatest) == ends
    assert (cells.rows, cells.columns) == (["1", "2"], ["a", "b"])


def test_a_heat_map_without_values_has_a_scale_too() -> None:
    assert heat_table(pd.DataFrame([[np.nan]])).greatest == 1


def test_live_scores_are_marked_outside_the_band_of_validation() -> None:
    validation = synthetic_scores()
    low, high = validation["corr60"].quantile([0.05, 0.95])
    live = pd.DataFrame({"corr60": [low - 1, np.nan, high], "unknown": 1.0}, index=[7, 8, 9])

    tracks = live_tracks(live, validation)

    assert list(tracks) == ["corr60"]
    track = tracks["corr60"]
    assert track.rounds.tolist() == [7, 9]
    assert track.is_outside.tolist() == [True, False]
    assert (track.low, track.high) == pytest.approx((low, high))
    assert track.mean == pytest.approx(validation["corr60"].mean())


def test_rounds_above_the_limit_of_the_gate_are_found() -> None:
    assert above_limit({"round 1": 0.02, "round 2": 0.3}, 0.1).tolist() == [False, True]
    assert above_limit({}, 0.1).tolist() == []
