"""Columns of an era come from nets that saw neither its target nor one that overlaps it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numerai_assets.eras import purge
from numerai_assets.errors import FeatureError
from numerai_assets.features.fitting.cross_fitting import (
    Run,
    cut_into_runs,
    fitted_eras,
    how_alike,
    speaking_folds,
    standard_columns,
)

LAWFUL = settings(deadline=None, max_examples=60)


@given(
    eras=st.lists(st.integers(1, 300), min_size=2, max_size=40, unique=True).map(sorted),
    folds=st.integers(2, 5),
    horizon=st.sampled_from([20, 60]),
)
@LAWFUL
def test_no_run_speaks_from_eras_whose_targets_overlap_its_own(eras: list[int], folds: int, horizon: int) -> None:
    runs = cut_into_runs(eras, min(folds, len(eras)), block="nets")

    assert [sum(run.first <= era <= run.last for run in runs) for era in eras] == [1] * len(eras)
    for run in runs:
        kept = [era for era in eras if run.keeps(era, horizon)]
        for judged in range(run.first, run.last + 1):
            assert all(abs(judged - era) > purge(horizon) for era in kept)


def test_folds_are_fitted_without_their_run_and_its_neighbours_and_one_fold_on_all() -> None:
    eras = [*range(1, 11), *range(21, 31)]
    runs = cut_into_runs(eras, 2, block="nets")

    assert runs == [Run(1, 10), Run(11, 30)]
    assert fitted_eras(eras, runs, 20, block="nets") == [list(range(21, 31)), [1, 2]]
    assert fitted_eras(eras, cut_into_runs(eras, 1, block="nets"), 20, block="nets") == [eras]
    with pytest.raises(FeatureError, match=r"nets: nothing to fit the mixers of eras 11\.\.30 on"):
        fitted_eras(eras, runs, 60, block="nets")
    with pytest.raises(FeatureError, match="nets: 21 folds of 20 eras"):
        cut_into_runs(eras, 21, block="nets")


def test_a_fold_speaks_for_its_run_and_all_for_what_comes_later() -> None:
    runs = [Run(11, 20), Run(21, 40)]

    assert [speaking_folds(runs, era) for era in (3, 20, 21, 40, 41)] == [[0], [0], [1], [1], [0, 1]]


def test_columns_are_brought_to_one_scale_and_constants_to_nothing() -> None:
    found = standard_columns(np.array([[1.0, 2.0, 3.0], [0.1, 0.1, 0.1]]))

    np.testing.assert_allclose(found, [[-(1.5**0.5), 0, 1.5**0.5], [0, 0, 0]], rtol=1e-6)


def test_likeness_is_correlation_between_columns_and_between_folds() -> None:
    rng = np.random.default_rng(0)
    one, two = (standard_columns(rng.normal(size=(3, 50))) for _ in range(2))

    between, agreed = how_alike([np.stack([one, two])])
    _, alone = how_alike([one[None]])

    both = (np.corrcoef(one) + np.corrcoef(two)) / 2
    np.testing.assert_allclose(between, both, atol=1e-5)
    np.testing.assert_allclose(agreed, [np.corrcoef(a, b)[0, 1] for a, b in zip(one, two, strict=True)], atol=1e-5)
    assert np.isnan(alone).all()
