"""Scores equal Numerai's own to the last digits that matter, for many predictions at once."""

import itertools
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numerai_tools import scoring as oracle
from numerai_tools.scoring import correlation_contribution, numerai_corr
from scipy.stats import norm, rankdata

from numerai_assets.errors import ScoringError
from numerai_assets.evaluation.metrics import (
    Kind,
    Score,
    contribution,
    corr,
    gaussian_ranks,
    score_era,
    score_eras,
    signed_power,
    tie_kept_ranks,
)
from numerai_assets.evaluation.neutralisation import EraFactor

LAWFUL = settings(deadline=None, max_examples=50)
TOLERANCE = 1e-9
LEVELS = np.array([0, 0.25, 0.5, 0.75, 1])

SEEDS = st.integers(0, 2**32 - 1)
ROWS = st.integers(20, 300)


def some_predictions(seed: int, rows: int, columns: int, *, distinct: int | None = None) -> np.ndarray:
    """(rows, columns) in (0, 1); with `distinct`, only that many different values, so that ranks are tied."""
    rng = np.random.default_rng(seed)
    values = rng.random((rows, columns))
    return values if distinct is None else (np.floor(values * distinct) + 0.5) / distinct


def some_target(seed: int, rows: int, *, share_nan: float = 0.0) -> np.ndarray:
    """(rows,) five levels in Numerai's proportions, some of them NaN."""
    rng = np.random.default_rng([seed, 1])
    target = rng.choice(LEVELS, rows, p=[0.05, 0.2, 0.5, 0.2, 0.05])
    target[:2] = [0.25, 0.75]
    target[rng.permutation(rows)[: int(share_nan * rows)]] = np.nan
    return target


def frames(predictions: np.ndarray, *series: np.ndarray) -> tuple[pd.DataFrame, list[pd.Series]]:
    index = [f"n{row:05d}" for row in range(len(predictions))]
    columns = [f"p{column}" for column in range(predictions.shape[1])]
    return pd.DataFrame(predictions, index, columns), [pd.Series(s, index, name="s") for s in series]


def their_corr(predictions: np.ndarray, target: np.ndarray) -> np.ndarray:
    theirs, (series,) = frames(predictions, target)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return numerai_corr(theirs, series).to_numpy()


def their_contribution(predictions: np.ndarray, reference: np.ndarray, target: np.ndarray) -> np.ndarray:
    theirs, (meta, series) = frames(predictions, reference, target)
    return correlation_contribution(theirs, meta, series).to_numpy()


@given(seed=SEEDS, rows=ROWS, columns=st.integers(1, 6), distinct=st.sampled_from([None, 50, 5, 2]))
@LAWFUL
def test_corr_equals_that_of_numerai_with_and_without_ties(
    seed: int, rows: int, columns: int, distinct: int | None
) -> None:
    predictions, target = some_predictions(seed, rows, columns, distinct=distinct), some_target(seed, rows)

    np.testing.assert_allclose(corr(predictions, target), their_corr(predictions, target), rtol=0, atol=TOLERANCE)


@given(seed=SEEDS, rows=ROWS, columns=st.integers(1, 6), distinct=st.sampled_from([None, 50, 5]))
@LAWFUL
def test_contribution_equals_that_of_numerai_with_and_without_ties(
    seed: int, rows: int, columns: int, distinct: int | None
) -> None:
    predictions, target = some_predictions(seed, rows, columns, distinct=distinct), some_target(seed, rows)
    reference = some_predictions(seed + 1, rows, 1, distinct=distinct)[:, 0]
    assume(np.ptp(predictions, axis=0).min() > 0 and np.ptp(reference) > 0)

    ours = contribution(predictions, reference, target)

    np.testing.assert_allclose(ours, their_contribution(predictions, reference, target), rtol=0, atol=TOLERANCE)


@given(seed=SEEDS, rows=ROWS, share_nan=st.floats(0, 0.19))
@LAWFUL
def test_rows_without_a_target_count_for_nothing(seed: int, rows: int, share_nan: float) -> None:
    predictions, target = some_predictions(seed, rows, 3), some_target(seed, rows, share_nan=share_nan)
    reference = some_predictions(seed + 1, rows, 1)[:, 0]
    known = ~np.isnan(target)
    assume(len(np.unique(target[known])) > 1)

    corrs, mmcs = corr(predictions, target), contribution(predictions, reference, target)

    np.testing.assert_allclose(corrs, their_corr(predictions, target), rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(mmcs, their_contribution(predictions, reference, target), rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(corrs, corr(predictions[known], target[known]), rtol=0, atol=1e-12)
    dense = contribution(predictions[known], reference[known], target[known])
    np.testing.assert_allclose(mmcs, dense, rtol=0, atol=1e-12)


@given(seed=SEEDS)
@LAWFUL
def test_targets_outside_zero_to_one_are_not_scaled(seed: int) -> None:
    predictions, reference = some_predictions(seed, 100, 3), some_predictions(seed + 1, 100, 1)[:, 0]
    returns = np.random.default_rng(seed).normal(size=100)

    ours = contribution(predictions, reference, returns)

    np.testing.assert_allclose(ours, their_contribution(predictions, reference, returns), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("value", [0.5, 0.1, 1e-9])
def test_constant_predictions_have_no_score_and_do_not_disturb_the_others(value: float) -> None:
    predictions, target = some_predictions(0, 100, 3), some_target(0, 100)
    reference = some_predictions(1, 100, 1)[:, 0]
    predictions[:, 1] = value

    corrs, mmcs = corr(predictions, target), contribution(predictions, reference, target)

    assert np.isnan(corrs).tolist() == np.isnan(mmcs).tolist() == [False, True, False]
    np.testing.assert_allclose(corrs, their_corr(predictions, target), rtol=0, atol=TOLERANCE)
    others = predictions[:, [0, 2]]
    np.testing.assert_allclose(corrs[[0, 2]], corr(others, target), rtol=0, atol=1e-12)
    np.testing.assert_allclose(mmcs[[0, 2]], contribution(others, reference, target), rtol=0, atol=1e-12)


@given(seed=SEEDS, rows=ROWS)
@LAWFUL
def test_many_columns_score_as_each_does_alone(seed: int, rows: int) -> None:
    predictions, target = some_predictions(seed, rows, 5, distinct=20), some_target(seed, rows)
    reference = some_predictions(seed + 1, rows, 1)[:, 0]

    together = corr(predictions, target), contribution(predictions, reference, target)

    alone = [
        np.concatenate([score(predictions[:, [c]]) for c in range(5)])
        for score in (lambda p: corr(p, target), lambda p: contribution(p, reference, target))
    ]
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-12)


@given(seed=SEEDS, rows=ROWS)
@LAWFUL
def test_a_copy_of_the_meta_model_contributes_nothing(seed: int, rows: int) -> None:
    meta, target = some_predictions(seed, rows, 1), some_target(seed, rows)

    # A monotone copy ranks alike, so it is a copy too.
    mmc = contribution(np.hstack([meta, meta**3]), meta[:, 0], target)

    np.testing.assert_allclose(mmc, 0, atol=1e-12)


@given(seed=SEEDS, rows=ROWS, transform=st.sampled_from([np.exp, np.sqrt, lambda x: 5 * x - 3, lambda x: x**3]))
@LAWFUL
def test_scores_do_not_change_under_a_monotone_transform(seed: int, rows: int, transform: object) -> None:
    predictions, target = some_predictions(seed, rows, 2, distinct=1000), some_target(seed, rows)
    reference = some_predictions(seed + 1, rows, 1)[:, 0]

    moved = transform(predictions)  # type: ignore[operator]

    np.testing.assert_allclose(corr(moved, target), corr(predictions, target), rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        contribution(moved, reference, target), contribution(predictions, reference, target), rtol=0, atol=1e-12
    )


@given(seed=SEEDS, rows=ROWS)
@LAWFUL
def test_scores_of_the_opposite_prediction_are_opposite_and_the_order_of_rows_does_not_matter(
    seed: int, rows: int
) -> None:
    predictions, target = some_predictions(seed, rows, 2), some_target(seed, rows)
    order = np.random.default_rng(seed).permutation(rows)

    score = corr(predictions, target)

    np.testing.assert_allclose(corr(1 - predictions, target), -score, rtol=0, atol=1e-9)
    np.testing.assert_allclose(corr(predictions[order], target[order]), score, rtol=0, atol=1e-9)
    assert (np.abs(score) <= 1).all()


@given(seed=SEEDS, rows_of_era=st.lists(st.integers(10, 60), min_size=1, max_size=4), columns=st.integers(1, 7))
@LAWFUL
def test_many_eras_at_once_score_as_each_does_with_numerai_tools(
    seed: int, rows_of_era: list[int], columns: int
) -> None:
    rows = sum(rows_of_era)
    predictions = some_predictions(seed, rows, columns)
    predictions[:, ::2] = np.round(predictions[:, ::2], 1)
    reference = some_predictions(seed + 1, rows, 1)[:, 0]
    targets = {20: some_target(seed, rows), 60: np.random.default_rng([seed, 2]).normal(size=rows)}
    edges = np.cumsum([0, *rows_of_era])
    eras = [slice(start, stop) for start, stop in itertools.pairwise(edges)]
    assume(all(np.ptp(targets[20][era]) > 0 and np.ptp(predictions[era], axis=0).min() > 0 for era in eras))

    wanted = {f"corr{h}": Score(t) for h, t in targets.items()} | {
        f"mmc{h}": Score(t, reference) for h, t in targets.items()
    }
    scores = score_eras(predictions, rows_of_era, wanted)

    for horizon, target in targets.items():
        corrs = [their_corr(predictions[era], target[era]) for era in eras]
        mmcs = [their_contribution(predictions[era], reference[era], target[era]) for era in eras]
        np.testing.assert_allclose(scores[f"corr{horizon}"], corrs, rtol=0, atol=1e-12)
        np.testing.assert_allclose(scores[f"mmc{horizon}"], mmcs, rtol=0, atol=1e-12)


def test_scores_do_not_depend_on_how_many_predictions_are_ranked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    predictions, target = some_predictions(0, 200, 9, distinct=50), some_target(0, 200)
    wanted = {"corr": Score(target), "mmc": Score(target, some_predictions(1, 200, 1)[:, 0])}
    together = score_eras(predictions, [120, 80], wanted)

    monkeypatch.setattr("numerai_assets.evaluation.metrics._CELLS", 250)
    in_blocks = score_eras(predictions, [120, 80], wanted)

    for name in wanted:
        np.testing.assert_allclose(in_blocks[name], together[name], rtol=0, atol=1e-12)


def test_scores_over_other_rows_do_not_share_a_ranking() -> None:
    predictions = some_predictions(0, 100, 2)
    early, late = some_target(0, 100), some_target(1, 100)
    early[:9], late[-9:] = np.nan, np.nan

    scores = score_eras(predictions, [100], {"early": Score(early), "late": Score(late)})

    np.testing.assert_allclose(scores["early"][0], their_corr(predictions, early), rtol=0, atol=1e-12)
    np.testing.assert_allclose(scores["late"][0], their_corr(predictions, late), rtol=0, atol=1e-12)


def test_references_that_are_columns_of_one_table_are_told_apart() -> None:
    predictions, target, table = some_predictions(0, 60, 1), some_target(0, 60), some_predictions(1, 60, 2)

    scores = score_eras(predictions, [60], {str(c): Score(target, table[:, c]) for c in (0, 1)})

    for column in (0, 1):
        theirs = their_contribution(predictions, table[:, column], target)
        np.testing.assert_allclose(scores[str(column)][0], theirs, rtol=0, atol=1e-12)


def test_an_era_without_a_target_has_no_scores_and_the_others_have_theirs() -> None:
    predictions, target = some_predictions(0, 90, 2), some_target(0, 90)
    target[30:60] = np.nan

    scores = score_eras(predictions, [30, 30, 30, 0], {"corr": Score(target)})["corr"]

    assert np.isnan(scores).all(axis=1).tolist() == [False, True, False, True]
    np.testing.assert_array_equal(scores[2], corr(predictions[60:], target[60:]))


def test_float32_predictions_score_as_their_float64_copies() -> None:
    predictions, target = some_predictions(0, 90, 2).astype(np.float32), some_target(0, 90).astype(np.float32)

    scores = corr(predictions, target)

    np.testing.assert_array_equal(scores, corr(predictions.astype(np.float64), target.astype(np.float64)))
    assert scores.dtype == np.float64


def test_a_prediction_with_a_gap_has_no_score_and_does_not_disturb_the_others() -> None:
    predictions, target = some_predictions(0, 90, 2), some_target(0, 90)
    predictions[4, 0] = np.nan

    scores = corr(predictions, target)

    assert np.isnan(scores).tolist() == [True, False]
    np.testing.assert_allclose(scores[1:], corr(predictions[:, 1:], target), rtol=0, atol=1e-12)


@pytest.mark.filterwarnings("error")
def test_beyond_a_constant_reference_there_is_no_contribution() -> None:
    assert np.isnan(contribution(some_predictions(0, 90, 2), np.full(90, 0.5), some_target(0, 90))).all()


@pytest.mark.parametrize(
    ("rows_of_era", "target", "message"),
    [([50, 49], 100, "rows of the eras together: 99"), ([50, 50], 99, "target of corr: 99")],
)
def test_lengths_that_differ_are_named(rows_of_era: list[int], target: int, message: str) -> None:
    with pytest.raises(ScoringError, match=f"{message}, but there are 100 rows"):
        score_eras(some_predictions(0, 100, 1), rows_of_era, {"corr": Score(some_target(0, target))})


@given(seed=SEEDS, rows=st.integers(1, 80), distinct=st.sampled_from([None, 20, 3, 1]))
@LAWFUL
def test_gaussian_ranks_are_the_quantiles_of_scipys_average_ranks(seed: int, rows: int, distinct: int | None) -> None:
    values = some_predictions(seed, rows, 3, distinct=distinct)

    expected = norm.ppf((rankdata(values, axis=0) - 0.5) / rows)

    np.testing.assert_allclose(gaussian_ranks(values), expected, rtol=0, atol=1e-14)


def test_the_target_itself_correlates_almost_perfectly() -> None:
    target = some_target(0, 1000)

    assert corr(target[:, None], target)[0] > 0.95


def test_gaussian_ranks_share_ties_and_are_symmetric() -> None:
    ranks = gaussian_ranks(np.array([[3.0], [1.0], [1.0], [9.0]]))

    np.testing.assert_allclose(ranks[:, 0], norm.ppf([0.625, 0.25, 0.25, 0.875]))


def test_signed_power_keeps_the_sign() -> None:
    np.testing.assert_allclose(signed_power(np.array([-4.0, 0.0, 4.0])), [-8, 0, 8])


def of_each_column(
    score: Callable[[pd.Series, pd.Series], float], predictions: np.ndarray, target: np.ndarray
) -> list[float]:
    theirs, (series,) = frames(predictions.astype(np.float64), target.astype(np.float64))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [score(series, theirs[column]) for column in theirs]


ORACLES = {
    Kind.SPEARMAN: oracle.spearman_correlation,
    Kind.PEARSON: oracle.pearson_correlation,
    Kind.TIE_BROKEN: oracle.tie_broken_rank_correlation,
    # CWMM has no function of its own: it is numerai_corr with the meta model, taken as it is, in the target's place.
    Kind.CWMM: lambda meta, ours: oracle.numerai_corr(ours.to_frame(), meta, target_pow15=False).iloc[0],
}


@pytest.mark.parametrize("kind", ORACLES)
@given(seed=SEEDS, rows=ROWS, distinct=st.sampled_from([None, 50, 3]), dtype=st.sampled_from([np.float32, np.float64]))
@settings(deadline=None, max_examples=30)
def test_each_kind_equals_the_function_of_numerai_tools(
    kind: Kind, seed: int, rows: int, distinct: int | None, dtype: type
) -> None:
    predictions = some_predictions(seed, rows, 3, distinct=distinct).astype(dtype)
    assume(np.ptp(predictions, axis=0).min() > 0)
    aim = some_target(seed, rows) if kind is not Kind.CWMM else some_predictions(seed + 1, rows, 1)[:, 0]

    scores = score_era(predictions, Score(aim.astype(dtype), kind=kind))

    theirs = of_each_column(ORACLES[kind], predictions, aim.astype(dtype))
    np.testing.assert_allclose(scores, theirs, rtol=0, atol=TOLERANCE)


@given(seed=SEEDS, rows=ROWS)
@settings(deadline=None, max_examples=20)
def test_rows_in_any_order_score_as_numerai_tools_scores_their_sorted_ids(seed: int, rows: int) -> None:
    predictions, target = some_predictions(seed, rows, 2, distinct=40), some_target(seed, rows)
    ids = np.array([f"n{row:05d}" for row in np.random.default_rng([seed, 3]).permutation(rows)])
    series = pd.Series(target, ids, name="s")
    frame = pd.DataFrame(predictions, ids)

    scores = score_eras(predictions, [rows], {"corr": Score(target), "rank": Score(target, kind=Kind.SPEARMAN)})

    np.testing.assert_allclose(scores["corr"][0], numerai_corr(frame, series), rtol=0, atol=TOLERANCE)
    theirs = [oracle.spearman_correlation(series.sort_index(), frame[c].sort_index()) for c in frame]
    np.testing.assert_allclose(scores["rank"][0], theirs, rtol=0, atol=TOLERANCE)


@given(seed=SEEDS, rows_of_era=st.lists(st.integers(30, 60), min_size=1, max_size=3))
@settings(deadline=None, max_examples=15)
def test_fnc_of_many_eras_is_that_of_numerai_tools(seed: int, rows_of_era: list[int]) -> None:
    rng, rows = np.random.default_rng(seed), sum(rows_of_era)
    predictions, targets = some_predictions(seed, rows, 3), [some_target(seed + k, rows) for k in (0, 1)]
    targets[1][rng.permutation(rows)[: rows // 20]] = np.nan
    blocks = [rng.integers(0, 5, (4, n), dtype=np.int8) for n in rows_of_era]
    factors = [EraFactor.of(block) for block in blocks]

    wanted = {f"fnc{k}": Score(target, kind=Kind.FNC, neutralisers=factors) for k, target in enumerate(targets)}
    scores = score_eras(predictions, rows_of_era, wanted)

    for era, (stop, n) in enumerate(zip(np.cumsum(rows_of_era), rows_of_era, strict=True)):
        for k, target in enumerate(targets):
            known = target[stop - n : stop]
            assume(len(np.unique(known[~np.isnan(known)])) > 1)
            frame, (series,) = frames(predictions[stop - n : stop], known)
            features = pd.DataFrame(blocks[era].T, frame.index)
            theirs = oracle.feature_neutral_corr(frame, features, series)
            np.testing.assert_allclose(scores[f"fnc{k}"][era], theirs, rtol=0, atol=TOLERANCE)


class Counting:
    """Neutralisers made when they are asked for, and counted."""

    def __init__(self, blocks: list[np.ndarray]) -> None:
        self.blocks, self.made, self.used = blocks, 0, 0

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, era: int) -> "Counting":
        self.made += 1
        self.factor = EraFactor.of(self.blocks[era])
        return self

    def neutralise(self, values: np.ndarray) -> np.ndarray:
        self.used += 1
        return self.factor.neutralise(values)


def test_an_era_is_neutralised_once_for_all_its_targets() -> None:
    rng = np.random.default_rng(0)
    neutralisers = Counting([rng.integers(0, 5, (4, 50), dtype=np.int8) for _ in range(2)])
    wanted = {
        str(k): Score(some_target(k, 100), kind=Kind.FNC, neutralisers=neutralisers)  # type: ignore[arg-type]
        for k in range(3)
    }

    score_eras(some_predictions(0, 100, 5), [50, 50], wanted)

    assert (neutralisers.made, neutralisers.used) == (2, 2)


BAD = (
    "single row",
    "constant prediction",
    "gap in the prediction",
    "constant target",
    "no target",
    "constant reference",
)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("bad", BAD)
@given(seed=SEEDS, value=st.floats(-10, 10), rows=st.integers(2, 40), dtype=st.sampled_from([np.float32, np.float64]))
@settings(deadline=None, max_examples=20)
def test_what_cannot_be_scored_is_nan_in_every_kind(bad: str, seed: int, value: float, rows: int, dtype: type) -> None:
    if bad == "single row":
        rows = 1
    predictions, target = some_predictions(seed, rows, 2).astype(dtype), np.random.default_rng(seed).random(rows)
    reference, factor = some_predictions(seed + 1, rows, 1)[:, 0], EraFactor.of(np.ones((2, rows), np.int8))
    match bad:
        case "constant prediction":
            predictions[:] = value
        case "gap in the prediction":
            predictions[rows // 2] = np.nan
        case "constant target":
            target[:] = value
        case "no target":
            target[:] = np.nan
        case "constant reference":
            reference[:] = value

    wanted = {str(kind): Score(target, kind=kind) for kind in Kind if kind not in (Kind.CONTRIBUTION, Kind.FNC)}
    wanted |= {"fnc": Score(target, kind=Kind.FNC, neutralisers=[factor]), "contribution": Score(target, reference)}
    scores = score_eras(predictions, [rows], wanted)

    for name, found in scores.items():
        if bad == "constant target" and name == "contribution":
            assert (found == 0).all()
        elif bad == "constant reference" and name != "contribution":
            assert np.isfinite(found).all()
        else:
            assert np.isnan(found).all(), name


@given(seed=SEEDS, rows=st.integers(1, 80), distinct=st.sampled_from([None, 20, 3, 1]))
@LAWFUL
def test_tie_kept_ranks_are_scipys_average_ranks(seed: int, rows: int, distinct: int | None) -> None:
    values = some_predictions(seed, rows, 3, distinct=distinct)

    np.testing.assert_array_equal(tie_kept_ranks(values), rankdata(values, axis=0))


def test_a_kind_without_what_it_needs_is_refused_by_name() -> None:
    target, factor = some_target(0, 50), EraFactor.of(np.ones((2, 50), np.int8))

    with pytest.raises(ScoringError, match="score contribution: references belong"):
        Score(target, kind=Kind.CONTRIBUTION)
    with pytest.raises(ScoringError, match="score spearman: references belong to contribution alone, found some"):
        Score(target, target, Kind.SPEARMAN)
    with pytest.raises(ScoringError, match="score fnc: neutralisers belong to fnc alone, found none"):
        Score(target, kind=Kind.FNC)
    with pytest.raises(ScoringError, match="neutralisers of fnc: 1, but there are 2 eras"):
        fnc = Score(target, kind=Kind.FNC, neutralisers=[factor])
        score_eras(some_predictions(0, 50, 1), [25, 25], {"fnc": fnc})
