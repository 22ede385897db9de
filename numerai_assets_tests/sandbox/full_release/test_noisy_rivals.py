"""Cheap rivals see what a fit could find, and err as a function of the features."""

import numpy as np
import pytest

from numerai_assets.sandbox.full_release.noisy_rivals import CHUNK, SKILL, NoisyRivals
from numerai_assets.sandbox.market.effects import KINDS
from numerai_assets.sandbox.market.oracle import COMPONENTS

N = 4000


def era(seed: int) -> tuple[np.ndarray, dict[int, dict[str, np.ndarray]]]:
    rng = np.random.default_rng(seed)
    bins = rng.integers(0, 5, (400, N), dtype=np.int8)
    parts = {name: rng.standard_normal(N).astype(np.float32) for name in COMPONENTS}
    return bins, {20: parts, 60: parts}


def test_predictions_are_ranks_of_meta_model_and_benchmarks() -> None:
    predictions = NoisyRivals(400, 0).predict(600, *era(1))
    assert predictions.shape == (N, 3)
    assert predictions.min() > 0 and predictions.max() < 1


def test_a_benchmark_has_the_skill_that_is_said_and_knows_nothing_of_what_is_hidden() -> None:
    bins, oracle = era(1)
    benchmark = NoisyRivals(400, 0).predict(600, bins, oracle)[:, 2]
    findable = np.sum([oracle[60][kind] for kind in KINDS], axis=0)
    hidden = np.sum([part for name, part in oracle[60].items() if name not in KINDS], axis=0)
    assert np.corrcoef(benchmark, findable)[0, 1] == pytest.approx(SKILL, abs=0.06)
    assert abs(np.corrcoef(benchmark, hidden)[0, 1]) < 0.05


def test_errors_are_a_function_of_the_features_that_lasts_a_chunk() -> None:
    bins, oracle = era(1)
    zero = {h: {name: part * 0 + np.arange(N) % 2 for name, part in parts.items()} for h, parts in oracle.items()}
    rivals = NoisyRivals(400, 0)
    first, last, next_chunk = (rivals.predict(number, bins, zero)[:, 1] for number in (0, CHUNK - 1, CHUNK))
    np.testing.assert_array_equal(first, last)
    # What they share is the skill's part alone.
    assert abs(np.corrcoef(first, next_chunk)[0, 1]) < SKILL**2 + 0.1
