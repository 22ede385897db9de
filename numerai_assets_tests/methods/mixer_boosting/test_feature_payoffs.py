"""What a feature paid is its correlation with the target, to the last bit whatever the order of rows."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from numerai_assets.methods.mixer_boosting.feature_payoffs import feature_payoffs

LAWFUL = settings(deadline=None, max_examples=60)


def an_era(seed: int, rows: int, features: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Levels with gaps, and a target in fourths that a third of the rows lack."""
    rng = np.random.default_rng(seed)
    target = (rng.integers(0, 5, rows) / 4).astype(np.float32)
    target[rng.random(rows) < 1 / 3] = np.nan
    return rng.integers(-1, 5, (features, rows), dtype=np.int8), target


@LAWFUL
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(30, 400))
def test_payoffs_are_pearson_correlations_over_the_rows_whose_target_is_known(seed: int, rows: int) -> None:
    block, target = an_era(seed, rows)

    known = ~np.isnan(target)
    filled = np.where(block == -1, 2, block)[:, known]
    expected = [np.corrcoef(levels, target[known])[0, 1] for levels in filled]
    np.testing.assert_allclose(feature_payoffs(block, target), expected, atol=1e-12)


@LAWFUL
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(30, 400), in_fourths=st.booleans())
def test_the_order_of_rows_changes_no_bit(seed: int, rows: int, in_fourths: bool) -> None:
    block, target = an_era(seed, rows)
    if not in_fourths:
        target = np.random.default_rng(seed).random(rows, np.float32)
    order = np.random.default_rng(seed).permutation(rows)

    np.testing.assert_array_equal(
        feature_payoffs(np.ascontiguousarray(block[:, order]), target[order]), feature_payoffs(block, target)
    )


def test_a_feature_pays_nothing_known_where_it_or_the_target_is_constant_or_unknown() -> None:
    block, target = an_era(0, 90)
    block[2] = 3

    assert np.isnan(feature_payoffs(block, target)).tolist() == [False, False, True, False, False, False, False]
    assert np.isnan(feature_payoffs(block, np.full(90, 0.25, np.float32))).all()
    assert np.isnan(feature_payoffs(block, np.full(90, np.nan, np.float32))).all()
