"""Effects are Hermite forms, their premia scaled to the dials."""

import numpy as np
import pytest

from numerai_assets.sandbox.market.effects import Effects, draw_effects, draw_regimes, draw_strengths

GROUPS = tuple(group for group in ("charisma", "rain", "faith") for _ in range(40))
RHO = np.random.default_rng(0).uniform(0.3, 0.998, len(GROUPS)).astype(np.float32)


@pytest.fixture
def effects() -> Effects:
    return draw_effects(GROUPS, RHO, np.random.default_rng(1))


def test_pairs_are_of_one_group_and_most_effects_are_on_persistent_characteristics(effects: Effects) -> None:
    assert all(GROUPS[a] == GROUPS[b] and a < b for a, b in effects.pairs)
    assert (RHO[effects.columns()] > 0.8).mean() > 0.5 > (RHO > 0.8).mean()


def test_forms_are_those_of_the_columns_that_effects_read(effects: Effects) -> None:
    x = np.random.default_rng(2).standard_normal((50, len(GROUPS)), dtype=np.float32)
    square = (x * x - 1) / np.float32(np.sqrt(2))
    forms, columns = effects.forms(x, square), effects.columns()
    assert forms.shape == (50, len(effects.rho))
    np.testing.assert_array_equal(forms[:, : len(effects.linear)], x[:, effects.linear])
    first, second = effects.pairs[0]
    np.testing.assert_array_equal(forms[:, -len(effects.pairs)], x[:, first] * x[:, second])
    np.testing.assert_array_equal(effects.among(columns).forms(x[:, columns], square[:, columns]), forms)


@pytest.mark.parametrize("interactions", [0.0, 0.4, 1.0])
def test_interactions_have_their_share_of_a_unit_variance_over_60_days(effects: Effects, interactions: float) -> None:
    variance = (draw_strengths(effects, interactions, np.random.default_rng(3)) * effects.lasting()) ** 2
    assert variance.sum() == pytest.approx(1)
    assert variance[effects.kinds() == 2].sum() == pytest.approx(interactions)


def test_premia_of_regimes_cancel_over_regimes(effects: Effects) -> None:
    premia = draw_regimes(effects, GROUPS, 3, np.random.default_rng(4))
    np.testing.assert_allclose(premia.mean(axis=0), 0, atol=1e-12)
    assert ((premia * effects.lasting()) ** 2).sum(axis=1).mean() == pytest.approx(1)
