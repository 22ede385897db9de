"""Interactions: what is planted is found, noise is not, and what is confirmed is what is used."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import f as fisher

from numerai_assets.errors import FeatureError
from numerai_assets.features.learned.interactions import FORMS, Interactions, halves, moderation
from numerai_assets.features.learned.pair_search import beyond_additive
from numerai_assets.panel.panel import EraPanel

TARGET = "target_ender_20"
ERAS = tuple(range(4, 4 * 28 + 1, 4))
FEATURES, ROWS = 202, 400
EFFECTS = {
    "product": lambda a, b: (a - 2) * (b - 2) / 2,
    "distance": lambda a, b: np.abs(a - b) - 1.6,
    "none": lambda a, b: 0 * a,
}


def planted(effect: str, *, strength: float = 0.25, missing: float = 0.0, seed: int = 0) -> EraPanel:
    """Noise but for an effect of features 3 and 17, and additive ones of 5 and 6."""
    blocks, targets = [], []
    for era in ERAS:
        draw = np.random.default_rng([seed, era])
        block = draw.integers(0, 5, (FEATURES, ROWS), dtype=np.int8)
        levels = block.astype(float)
        score = strength * EFFECTS[effect](levels[3], levels[17]) + 0.3 * levels[5] + 0.2 * (levels[6] == 2)
        score += draw.normal(size=ROWS)
        targets.append((np.searchsorted(np.quantile(score, [0.05, 0.25, 0.75, 0.95]), score) / 4).astype(np.float32))
        block[draw.random(block.shape) < missing] = -1
        blocks.append(block)
    names = tuple(f"feature_{place}" for place in range(FEATURES))
    ids = tuple(np.arange(ROWS).astype(object) for _ in ERAS)
    return EraPanel(tuple(blocks), names, ERAS, ids, {TARGET: tuple(targets)})


def fitted(panel: EraPanel, seed: int = 0) -> Interactions:
    return Interactions(candidates=256).fit(panel, target=TARGET, seed=seed)


@pytest.fixture(scope="module")
def product() -> Interactions:
    return fitted(planted("product"))


@pytest.mark.parametrize("missing", [0.0, 0.1])
@pytest.mark.parametrize("effect", ["product", "distance"])
def test_a_planted_interaction_among_two_hundred_noise_features_is_found_with_its_form(
    effect: str, missing: float
) -> None:
    found = fitted(planted(effect, missing=missing))

    assert found.names_[0] == f"{effect}(feature_3*feature_17)"
    assert len(found.names_) <= 3


def test_on_targets_without_interactions_next_to_nothing_is_confirmed() -> None:
    confirmed = [len(fitted(planted("none", seed=seed)).names_) for seed in (1, 2, 3)]

    # Half a pair a search is expected.
    assert sum(confirmed) <= 5


def test_columns_are_ranks_in_the_era_of_the_form(product: Interactions) -> None:
    era = planted("product").with_eras([ERAS[-1]])
    first, second = era.blocks[0][[3, 17]].astype(int)

    columns = product.transform(era)

    assert columns.shape == (len(product.names_), ROWS)
    assert columns.dtype == np.float16
    by_value = [set(columns[0, (first - 2) * (second - 2) == value].tolist()) for value in (-4, -2, -1, 0, 1, 2, 4)]
    assert all(len(ranks) == 1 for ranks in by_value)
    assert [ranks.pop() for ranks in by_value] == sorted(set(columns[0].tolist()))


def test_a_row_that_misses_one_of_the_two_is_nan(product: Interactions) -> None:
    era = planted("product").with_eras([ERAS[-1]])
    era.blocks[0][17, :5] = -1

    columns = product.transform(era)

    assert np.isnan(columns[0]).sum() == 5


def test_the_order_of_rows_changes_nothing_but_theirs(product: Interactions) -> None:
    panel, order = planted("product"), np.random.default_rng(0).permutation(ROWS)
    turned = EraPanel(
        tuple(np.ascontiguousarray(block[:, order]) for block in panel.blocks),
        panel.feature_names,
        panel.eras,
        panel.ids_of_block,
        {TARGET: tuple(values[order] for values in panel.targets_of_block[TARGET])},
    )

    again = fitted(turned)

    assert again.names_ == product.names_
    first = [ERAS[0]]
    np.testing.assert_array_equal(
        again.transform(turned.with_eras(first)), product.transform(panel.with_eras(first))[:, order]
    )


def test_eras_whose_target_is_unknown_change_nothing(product: Interactions) -> None:
    panel = planted("product")
    unknown = np.full(ROWS, np.nan, np.float32)
    longer = EraPanel(
        (*panel.blocks, np.zeros((FEATURES, ROWS), np.int8)),
        panel.feature_names,
        (*ERAS, ERAS[-1] + 3),
        (*panel.ids_of_block, panel.ids_of_block[0]),
        {TARGET: (*panel.targets_of_block[TARGET], unknown)},
    )

    again = fitted(longer, seed=7)

    assert again.names_ == product.names_
    np.testing.assert_array_equal(again.tables_, product.tables_)


def test_what_is_saved_is_what_is_loaded(product: Interactions, tmp_path: Path) -> None:
    product.save(tmp_path)

    loaded = Interactions.load(tmp_path)

    era = planted("product").with_eras([ERAS[0]])
    assert (loaded.names_, loaded.feature_names_) == (product.names_, product.feature_names_)
    assert loaded.get_params() == product.get_params()
    np.testing.assert_array_equal(loaded.transform(era), product.transform(era))
    assert {path.suffix for path in tmp_path.iterdir()} == {".npy", ".json"}


def test_a_block_that_found_nothing_has_no_columns_and_a_picture(tmp_path: Path) -> None:
    panel = planted("none")
    nothing = Interactions(candidates=8, expected_false=1e-12).fit(panel, target=TARGET, seed=0)
    nothing.save(tmp_path)

    loaded = Interactions.load(tmp_path)

    assert loaded.names_ == ()
    assert loaded.transform(panel.with_eras([4])).shape == (0, ROWS)
    assert loaded.picture().startswith(b"\x89PNG")


def test_the_picture_is_a_png(product: Interactions) -> None:
    assert product.picture().startswith(b"\x89PNG")


def test_too_few_eras_are_refused_with_what_is_needed() -> None:
    panel = planted("none").with_eras(ERAS[:7])

    with pytest.raises(FeatureError, match=r"of 7 eras with the target, .* each needs 3"):
        fitted(panel)


@pytest.mark.parametrize(("horizon", "purged", "span"), [(20, 8, 4), (60, 16, 12)])
def test_halves_are_a_purge_apart_and_stretches_as_long_as_a_target(horizon: int, purged: int, span: int) -> None:
    early, late = halves(list(range(1, 201)), horizon)

    assert late[0][0] - early[-1][-1] == purged + 1
    assert max(stretch[-1] - stretch[0] for stretch in early + late) == span - 1


@pytest.mark.parametrize("prior", [4, 20])
def test_moderation_finds_the_prior_that_variances_were_drawn_from(prior: int) -> None:
    variances = 2.5 * fisher.rvs(6, prior, size=20_000, random_state=0)

    freedom, usual = moderation(variances, 6)

    assert freedom == pytest.approx(prior, rel=0.15)
    assert usual == pytest.approx(2.5, rel=0.05)


def test_variances_that_differ_by_no_more_than_chance_are_taken_as_one() -> None:
    freedom, usual = moderation(np.full(200, 0.9), 6)

    assert np.isinf(freedom)
    assert usual > 0


def test_no_form_is_additive() -> None:
    tables = np.array(list(FORMS.values()))

    assert (np.abs(beyond_additive(tables, np.ones_like(tables))).max(axis=1) > 0.1).all()
