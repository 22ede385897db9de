"""Pictures: PNG bytes, small, and there even when nothing was scored yet."""

import numpy as np
import pandas as pd
import pytest

from numerai_assets.evaluation.diagnostics import SCORES
from numerai_assets.evaluation.plots import calibration_curves, cumulative_scores, drawdowns, drift, heat_map

PNG = b"\x89PNG\r\n\x1a\n"


def some_scores(eras: range) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    columns = [*SCORES, "payout"]
    frame = pd.DataFrame(rng.normal(0.02, 0.03, (len(eras), len(columns))), pd.Index(eras, name="era"), columns)
    return frame.assign(vintage=[era - era % 52 for era in eras])


def test_twelve_years_of_scores_are_a_small_png() -> None:
    picture = cumulative_scores(some_scores(range(575, 1233)), "benchmark")

    assert picture.startswith(PNG)
    assert len(picture) < 100_000


@pytest.mark.parametrize("eras", [range(575, 576), range(575, 575)])
def test_one_era_or_none_make_a_picture_too(eras: range) -> None:
    assert cumulative_scores(some_scores(eras), "benchmark").startswith(PNG)


def test_scores_that_are_all_unknown_make_an_empty_picture() -> None:
    scores = some_scores(range(575, 580))
    scores[[*SCORES, "payout"]] = np.nan

    assert cumulative_scores(scores, "benchmark").startswith(PNG)


def test_the_scores_are_what_is_drawn() -> None:
    scores = some_scores(range(575, 700))

    same, other = cumulative_scores(scores, "a"), cumulative_scores(scores * 2, "a")

    assert cumulative_scores(scores, "a") == same
    assert other != same


def test_every_other_figure_is_a_png_with_and_without_values() -> None:
    table = pd.DataFrame([[1.0, -0.5], [np.nan, 1.0]], ["a", "b"], ["a", "b"])
    drawn = [
        drawdowns(some_scores(range(575, 700)), "a"),
        drawdowns(some_scores(range(575, 575)), "a"),
        heat_map(table, "signed", greatest=1.0),
        heat_map(table * np.nan, "nothing"),
        heat_map(pd.DataFrame(np.ones((3, 40))), "many columns", is_signed=False),
        calibration_curves(pd.DataFrame({"a": [0.4, 0.5, 0.6]}, index=[1, 2, 3]), "a"),
        drift({"round 1": 0.2, "round 2": 0.0}, 0.1, "a"),
    ]

    assert all(image.startswith(PNG) and len(image) < 100_000 for image in drawn)
