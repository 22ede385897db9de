"""Embeddings: the factorisation machine of the paper, deterministic, and able to learn an interaction."""

from pathlib import Path

import numpy as np
import pytest
import torch

from numerai_assets.errors import FeatureError
from numerai_assets.features.learned.embeddings import Embeddings, on_principal_axes, second_order
from numerai_assets.panel.panel import EraPanel

TARGET = "target_ender_20"
ROWS, FEATURES = 500, 20


def planted(eras: tuple[int, ...] = tuple(range(4, 60, 4)), *, seed: int = 0) -> EraPanel:
    """A strong product of features 3 and 7, and noise."""
    blocks, targets = [], []
    for era in eras:
        draw = np.random.default_rng([seed, era])
        block = draw.integers(0, 5, (FEATURES, ROWS), dtype=np.int8)
        score = 0.6 * (block[3] - 2.0) * (block[7] - 2.0) / 2 + 0.3 * block[1] + draw.normal(size=ROWS)
        targets.append((np.searchsorted(np.quantile(score, [0.05, 0.25, 0.75, 0.95]), score) / 4).astype(np.float32))
        blocks.append(block)
    names = tuple(f"feature_{place}" for place in range(FEATURES))
    return EraPanel(
        tuple(blocks), names, eras, tuple(np.arange(ROWS).astype(object) for _ in eras), {TARGET: tuple(targets)}
    )


def fitted(panel: EraPanel, seed: int = 0) -> Embeddings:
    return Embeddings(rank=4, epochs=4, batch_rows=128, learning_rate=0.3).fit(panel, target=TARGET, seed=seed)


@pytest.fixture(scope="module")
def block() -> Embeddings:
    return fitted(planted())


def test_the_second_order_term_is_the_sum_over_all_pairs() -> None:
    vectors = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 6, 2)))  # (n, features, k)

    found = second_order(vectors.sum(dim=1), vectors.square().sum(dim=(1, 2)))

    pairs = [(vectors[:, a] * vectors[:, b]).sum(dim=1) for a in range(6) for b in range(a + 1, 6)]
    torch.testing.assert_close(found, torch.stack(pairs).sum(dim=0))


def test_an_interaction_is_learned_that_holds_in_eras_not_fitted_on(block: Embeddings) -> None:
    unseen = planted((4,), seed=9)
    levels = unseen.blocks[0].astype(float)

    output = block.predict(unseen)

    assert np.corrcoef(output, (levels[3] - 2) * (levels[7] - 2))[0, 1] > 0.5
    # The two features weigh most in the embeddings.
    assert set(np.argsort(-(block.vectors_**2).sum(axis=(0, 1)))[:2].tolist()) == {3, 7}


def test_columns_are_the_sums_of_the_vectors_of_a_rows_levels(block: Embeddings) -> None:
    era = planted((4,))
    era.blocks[0][2, 0] = -1

    columns = block.transform(era)

    assert columns.dtype == np.float16
    assert columns.shape == (4, ROWS)
    for row in (0, 1):
        present = [feature for feature in range(FEATURES) if era.blocks[0][feature, row] >= 0]
        expected = sum(block.vectors_[:, era.blocks[0][feature, row], feature] for feature in present)
        np.testing.assert_allclose(columns[:, row], expected, rtol=2e-3, atol=2e-3)


def test_the_same_seed_gives_the_same_columns_and_another_seed_others(block: Embeddings) -> None:
    era = planted((4,))

    np.testing.assert_array_equal(fitted(planted()).transform(era), block.transform(era))
    assert (fitted(planted(), seed=1).transform(era) != block.transform(era)).any()


def test_a_fit_leaves_torchs_own_random_numbers_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)

    Embeddings(rank=2, epochs=1).fit(planted((4,)), target=TARGET, seed=0)

    torch.testing.assert_close(torch.rand(2), expected)


def test_the_order_of_rows_of_an_era_changes_nothing_but_theirs(block: Embeddings) -> None:
    era, order = planted((4,)), np.random.default_rng(0).permutation(ROWS)
    turned = EraPanel((np.ascontiguousarray(era.blocks[0][:, order]),), era.feature_names, era.eras, era.ids_of_block)

    # Sums of float32 in another order may round to the neighbouring float16.
    np.testing.assert_allclose(
        block.transform(turned).astype(float), block.transform(era)[:, order].astype(float), rtol=2e-3, atol=1e-3
    )


def test_eras_whose_target_is_unknown_change_nothing(block: Embeddings) -> None:
    panel = planted()
    longer = EraPanel(
        (*panel.blocks, np.zeros((FEATURES, ROWS), np.int8)),
        panel.feature_names,
        (*panel.eras, 99),
        (*panel.ids_of_block, panel.ids_of_block[0]),
        {TARGET: (*panel.targets_of_block[TARGET], np.full(ROWS, np.nan, np.float32))},
    )

    np.testing.assert_array_equal(fitted(longer).vectors_, block.vectors_)


def test_other_features_of_the_panel_are_not_read(block: Embeddings) -> None:
    era = planted((4,))
    wider = EraPanel(
        (np.vstack([np.full((1, ROWS), 4, np.int8), era.blocks[0]]),),
        ("feature_new", *era.feature_names),
        era.eras,
        era.ids_of_block,
    )

    np.testing.assert_array_equal(block.transform(wider), block.transform(era))


def test_turning_to_principal_axes_changes_no_product() -> None:
    vectors = np.random.default_rng(0).normal(size=(3, 5, 4)).astype(np.float32)

    turned = on_principal_axes(vectors)

    flat, flat_turned = vectors.reshape(3, -1), turned.reshape(3, -1)
    np.testing.assert_allclose(flat_turned.T @ flat_turned, flat.T @ flat, atol=1e-5)
    gram = flat_turned @ flat_turned.T
    np.testing.assert_allclose(gram, np.diag(np.sort(np.diag(gram))[::-1]), atol=1e-4)


def test_what_is_saved_is_what_is_loaded(block: Embeddings, tmp_path: Path) -> None:
    block.save(tmp_path)

    loaded = Embeddings.load(tmp_path)

    assert (loaded.names_, loaded.feature_names_) == (block.names_, block.feature_names_)
    assert loaded.get_params() == block.get_params()
    np.testing.assert_array_equal(loaded.transform(planted((4,))), block.transform(planted((4,))))
    assert {path.suffix for path in tmp_path.iterdir()} == {".npy", ".json"}
    assert loaded.picture().startswith(b"\x89PNG")


def test_a_fit_that_diverges_is_refused() -> None:
    with pytest.raises(FeatureError, match=r"diverged.*learning_rate below 500"):
        Embeddings(rank=2, learning_rate=500, batch_rows=50).fit(planted(), target=TARGET, seed=0)
