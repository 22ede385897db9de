"""Means within published bins are those of the characteristics that were binned."""

import numpy as np

from numerai_assets.sandbox.market.oracle import bin_means, bins_of
from numerai_assets.sandbox.published import encoder

LACKING = np.array([0.0, 0.12, 0.19])


def thinned(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    full = rng.standard_normal((n, 3)).astype(np.float32)
    return full, np.where(rng.random((n, 3)) < LACKING, np.float32(np.nan), full)


def test_bins_are_those_that_the_encoder_publishes() -> None:
    _, known = thinned(20_000)
    published = encoder.bin_features(known, np.random.default_rng(1))
    assert (bins_of(known, LACKING) == published).mean() > 0.97


def test_means_within_bins_are_what_is_found_there() -> None:
    full, known = thinned(200_000)
    bins = bins_of(known, LACKING)
    means, squares = bin_means(LACKING)
    for column in range(3):
        for level in range(5):
            inside = full[bins[:, column] == level, column]
            np.testing.assert_allclose(inside.mean(), means[column, level], atol=0.02)
            np.testing.assert_allclose(((inside**2 - 1) / np.sqrt(2)).mean(), squares[column, level], atol=0.02)
