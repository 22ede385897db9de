"""Network momentum reads what had resolved, the same for any order of rows, and comes back from disk as it was."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from numerai_assets.errors import FeatureError
from numerai_assets.features.learned.network_momentum import MEASURES, NetworkMomentum, fitted_theta, momentum_of
from numerai_assets.panel.panel import EraPanel, History

TARGET = "target_ender_20"
LAG, ERAS, AT = 5, 110, 100


@pytest.fixture(scope="module")
def past() -> EraPanel:
    """Eras 1 to 110 of random rows, with ids."""
    rng = np.random.default_rng(0)
    names = tuple(f"f{place}" for place in range(6))
    rows = rng.integers(40, 48, ERAS)
    return EraPanel(
        tuple(rng.integers(0, 5, (6, n), dtype=np.int8) for n in rows),
        names,
        tuple(range(1, ERAS + 1)),
        tuple(np.array([f"n{rng.integers(2**60):015x}" for _ in range(n)], object) for n in rows),
        {TARGET: tuple(rng.choice([0, 0.25, 0.5, 0.75, 1], n).astype(np.float32) for n in rows)},
    )


def telling(panel: EraPanel, whole: EraPanel) -> EraPanel:
    """The panel with a history that reads eras of `whole`, of which it is a part."""
    whole = replace(whole, digests=tuple(hashlib.sha256(block.tobytes()).hexdigest() for block in whole.blocks))
    reads = NetworkMomentum().reads

    def history_of(era: int) -> History:
        def columns(name: str) -> NDArray[np.int8]:
            raise KeyError(name)

        return History(era, 1, reads.look_back, reads.targets, {}, lambda past: whole.with_eras([past]), columns)

    return replace(panel, history_of=history_of)


def fitted(past: EraPanel, eras: int = 90, **parameters: object) -> NetworkMomentum:
    block = NetworkMomentum(groups=8, **parameters)  # type: ignore[arg-type]
    return block.fit(telling(past.with_eras(range(1, eras + 1)), past), target=TARGET, seed=0)


@pytest.fixture(scope="module")
def block(past: EraPanel) -> NetworkMomentum:
    return fitted(past)


def columns_at(block: NetworkMomentum, past: EraPanel, era: int = AT) -> NDArray[np.float16]:
    return block.transform(telling(past.with_eras([era]), past))


def with_targets(past: EraPanel, eras: range, value: float) -> EraPanel:
    values = [
        np.full_like(known, value) if era in eras else known
        for era, known in zip(past.eras, past.targets_of_block[TARGET], strict=True)
    ]
    return replace(past, targets_of_block={TARGET: tuple(values)})


def reordered(past: EraPanel, seed: int) -> tuple[EraPanel, dict[int, NDArray[np.intp]]]:
    rng = np.random.default_rng(seed)
    orders = {era: rng.permutation(rows) for era, rows in zip(past.eras, past.rows_of_era, strict=True)}
    each = list(orders.values())
    return (
        replace(
            past,
            blocks=tuple(np.ascontiguousarray(b[:, o]) for b, o in zip(past.blocks, each, strict=True)),
            ids_of_block=tuple(np.asarray(ids, object)[o] for ids, o in zip(past.ids_of_block, each, strict=True)),
            targets_of_block={
                TARGET: tuple(v[o] for v, o in zip(past.targets_of_block[TARGET], each, strict=True)),
            },
        ),
        orders,
    )


def test_columns_are_named_and_finite_where_the_past_is_long_enough(block: NetworkMomentum, past: EraPanel) -> None:
    columns = columns_at(block, past)

    assert len(block.names_) == len(columns) == 2 * len(MEASURES) + 1
    assert columns.dtype == np.float16
    assert np.isfinite(columns).all()


@pytest.mark.parametrize("poison", [np.nan, 1.0])
def test_targets_that_had_not_resolved_change_no_bit(block: NetworkMomentum, past: EraPanel, poison: float) -> None:
    poisoned = with_targets(past, range(AT - LAG + 1, ERAS + 1), poison)

    assert columns_at(block, poisoned).tobytes() == columns_at(block, past).tobytes()


def test_the_newest_target_that_had_resolved_is_read(block: NetworkMomentum, past: EraPanel) -> None:
    rng = np.random.default_rng(1)
    newest = past.eras.index(AT - LAG)
    values = list(past.targets_of_block[TARGET])
    values[newest] = rng.permutation(values[newest])
    other = replace(past, targets_of_block={TARGET: tuple(values)})

    assert columns_at(block, other).tobytes() != columns_at(block, past).tobytes()


def test_a_fit_knows_nothing_of_later_eras(block: NetworkMomentum, past: EraPanel) -> None:
    rng = np.random.default_rng(2)
    later = tuple(
        rng.integers(0, 5, b.shape, dtype=np.int8) if era > 90 else b
        for era, b in zip(past.eras, past.blocks, strict=True)
    )
    other = fitted(replace(with_targets(past, range(91, ERAS + 1), 0.0), blocks=later))

    assert columns_at(other, past, 90).tobytes() == columns_at(block, past, 90).tobytes()
    assert other.theta_.tolist() == block.theta_.tolist()


@pytest.mark.parametrize("seed", [1, 2])
def test_the_order_of_rows_changes_nothing_but_theirs(block: NetworkMomentum, past: EraPanel, seed: int) -> None:
    moved, orders = reordered(past, seed)

    assert columns_at(block, moved).tolist() == columns_at(block, past)[:, orders[AT]].tolist()
    assert columns_at(fitted(moved), past).tolist() == columns_at(block, past).tolist()


def test_what_was_saved_gives_the_same_columns(block: NetworkMomentum, past: EraPanel, tmp_path: Path) -> None:
    block.save(tmp_path)
    back = NetworkMomentum.load(tmp_path)

    assert columns_at(back, past).tobytes() == columns_at(block, past).tobytes()
    assert (back.names_, back.feature_names_) == (block.names_, block.feature_names_)
    assert back.get_params() == block.get_params()


def test_the_same_seed_finds_the_same_graph(block: NetworkMomentum, past: EraPanel) -> None:
    assert fitted(past).graph_.tolist() == block.graph_.tolist()


def test_groups_may_be_found_on_all_features(past: EraPanel) -> None:
    assert fitted(past, found_on=0).feature_names_ == past.feature_names
    assert len(fitted(past, found_on=2).feature_names_) == 2


def test_a_measure_is_missing_where_the_past_is_shorter(block: NetworkMomentum, past: EraPanel) -> None:
    columns = columns_at(block, past, 20)
    known = np.isfinite(columns).all(axis=1)

    assert [name for name, there in zip(block.names_, known, strict=True) if there] == [
        f"{whose}_{what}"
        for whose in ("own", "network")
        for what in ("return_1", "return_4", "return_13", "macd_2_6", "macd_4_12")
    ]
    assert np.isnan(columns[~known]).all()


def test_too_few_resolved_eras_say_how_many_it_takes(past: EraPanel) -> None:
    with pytest.raises(FeatureError, match=r"25 eras with a known past .* takes 29"):
        fitted(past, eras=30)
    with pytest.raises(FeatureError, match="takes 57"):
        fitted(past, eras=56)
    with pytest.raises(FeatureError, match=r"look_back 55: .* takes at least 56"):
        fitted(past, look_back=55)


def test_a_resolved_target_without_a_value_is_an_error(block: NetworkMomentum, past: EraPanel) -> None:
    with pytest.raises(FeatureError, match="0095 has no value"):
        columns_at(block, with_targets(past, range(AT - LAG, AT - LAG + 1), np.nan))


def test_the_graph_is_a_graph_and_not_the_complete_one(block: NetworkMomentum) -> None:
    graph = block.graph_

    assert np.array_equal(graph, graph.T)
    assert (graph >= 0).all()
    assert not graph.diagonal().any()
    assert 0.1 < block.density < 0.8


def test_a_price_that_stands_still_has_no_momentum() -> None:
    returns = np.random.default_rng(0).normal(size=(60, 3))
    returns[:, 1] = 0

    momentum = momentum_of(returns, 20)

    assert not momentum[:, 1].any()
    assert np.isfinite(momentum).all()


def test_theta_is_found_where_the_relation_is_exact() -> None:
    rng = np.random.default_rng(0)
    network, theta = rng.normal(size=(30, 8, 5)), rng.normal(size=9)
    earned = np.einsum("m,tmg->tg", theta[:-1], network) + theta[-1]

    assert fitted_theta(network, earned, rng.uniform(1, 9, (30, 5))) == pytest.approx(theta)


def test_the_picture_is_a_png(block: NetworkMomentum) -> None:
    assert block.picture().startswith(b"\x89PNG")
