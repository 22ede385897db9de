"""Figures hold what they were given, in the words and numbers of the page."""

import numpy as np
import pandas as pd
import pytest

from numerai_assets.evaluation.breakdowns import validation_band
from numerai_assets.evaluation.era_series import max_drawdown
from numerai_assets.evaluation.figures import (
    calibration_curves,
    cumulative,
    drawdowns,
    drift,
    heat_map,
    importance,
    tracking,
)
from numerai_assets.evaluation.uncertainty import standard_error
from numerai_assets_tests.evaluation.synthetic_scores import synthetic_scores


def test_cumulative_scores_end_at_their_sum_in_the_middle_of_their_band() -> None:
    scores = synthetic_scores()
    known = scores["corr60"].dropna().to_numpy()

    high, low, line = cumulative({"a": scores}, names=("corr60",)).data

    assert line.y[-1] == pytest.approx(known.sum())
    assert (high.y[-1] + low.y[-1]) / 2 == pytest.approx(known.sum())
    assert high.y[-1] - known.sum() == pytest.approx(1.645 * len(known) * standard_error(known, horizon=60))
    assert (np.diff(np.asarray(high.y) - np.asarray(low.y)) > 0).all()
    assert (line.x[0], line.customdata[0]) == ("2020-04-03", 900)


def test_scores_without_an_era_have_no_line_and_every_method_one_legend() -> None:
    scores = {"a": synthetic_scores(), "b": synthetic_scores(seed=1).assign(mmc60=np.nan)}

    figure = cumulative(scores)

    lines = [trace for trace in figure.data if trace.line.width == 2]
    assert [trace.name for trace in lines] == ["a", "a", "a", "b", "b"]
    assert [trace.name for trace in lines if trace.showlegend] == ["a", "b"]


def test_the_deepest_point_below_the_peak_is_the_drawdown() -> None:
    scores = synthetic_scores(mean=-0.01)

    (line,) = drawdowns({"a": scores}).data

    assert max(line.y) <= 0
    assert -min(line.y) == pytest.approx(max_drawdown(scores["payout"].dropna().to_numpy()))


def test_names_are_text_and_never_markup() -> None:
    table = pd.DataFrame([[0.5]], index=["<b>a"], columns=["<a href='x'>"])

    figure = heat_map(table)

    assert figure.data[0].y[0] == "&lt;b&gt;a"
    assert "<a" not in figure.data[0].x[0]


@pytest.mark.parametrize("values", [[[0.1, -0.4], [np.nan, 0.2]], [[np.nan, np.nan]]])
def test_the_colours_of_a_signed_heat_map_are_centred_at_0(values: list[list[float]]) -> None:
    (cells,) = heat_map(pd.DataFrame(values)).data

    assert cells.zmin == -cells.zmax
    assert cells.zmax == (0.4 if len(values) == 2 else 1.0)
    assert heat_map(pd.DataFrame(values), is_signed=False).data[0].zmin == 0


def test_live_scores_outside_the_band_of_validation_are_marked() -> None:
    validation = synthetic_scores()
    low, high = validation_band(validation["corr60"])
    live = pd.DataFrame({"corr60": [low - 1, (low + high) / 2, high + 1]}, index=[7, 8, 9])

    figure = tracking(live, validation)

    colours = list(figure.data[0].marker.color)
    assert colours[0] == colours[2] != colours[1]
    band, _ = figure.layout.shapes
    assert (band.y0, band.y1) == (low, high)


def test_live_scores_without_any_validation_have_no_band() -> None:
    figure = tracking(pd.DataFrame({"corr60": [0.1]}, index=[7]), synthetic_scores().iloc[:0])

    assert figure.layout.shapes == ()
    assert tracking(pd.DataFrame(index=[7]), synthetic_scores()).data == ()


def test_rounds_that_drifted_too_far_stand_out_beside_the_limit() -> None:
    figure = drift({"round 1": 0.02, "round 2": 0.3}, 0.1)

    below, above = figure.data[0].marker.color
    assert below != above
    assert figure.layout.shapes[0].y0 == 0.1


def test_calibration_has_a_line_a_method() -> None:
    table = pd.DataFrame({"a": [0.4, 0.6], "b": [0.5, 0.5]}, index=[1, 2])

    assert [line.name for line in calibration_curves(table).data] == ["a", "b"]


def test_importances_have_a_panel_a_measure_with_errors_of_permutation_alone() -> None:
    table = pd.DataFrame(
        {
            "feature": ["a", "<b>"],
            "group": "wisdom",
            "gain": [0.7, 0.3],
            "permutation": [0.02, -0.01],
            "permutation_se": [0.01, 0.01],
            "shap": np.nan,
        }
    )

    figure = importance(table)

    gain, permutation = figure.data
    assert list(gain.x) == [0.7, 0.3]
    assert list(permutation.y) == ["a", "&lt;b&gt;"]
    assert gain.error_x.array is None
    assert list(permutation.error_x.array) == [0.02, 0.02]
