"""The drawn economy has the structure that its parameters promise."""

import numpy as np
import pytest

from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.market.economy import NOISE_VOL, Dials, Economy, draw_economy, premia
from numerai_assets.sandbox.published.names import GROUPS


@pytest.fixture(scope="module")
def economy() -> Economy:
    return draw_economy(200, 531, 3)


def test_innovations_and_stationary_state_have_unit_variance(economy: Economy) -> None:
    common = float(economy.factor_common)
    covariance = np.full((len(economy.loadings), len(economy.loadings)), common**2)
    np.fill_diagonal(covariance, 1.0)
    loaded = np.einsum("kd,kl,ld->d", economy.loadings, covariance, economy.loadings)
    np.testing.assert_allclose(loaded + economy.own**2, 1, atol=1e-5)
    np.testing.assert_allclose((economy.stationary**2).sum(axis=1), 1, atol=1e-4)


def test_every_group_has_characteristics_whose_speed_is_that_of_the_group(economy: Economy) -> None:
    assert set(economy.groups) == set(GROUPS)
    rho = {group: economy.rho[np.array(economy.groups) == group].mean() for group in ("wisdom", "agility")}
    assert rho["wisdom"] > 0.9 > rho["agility"]


def test_dials_change_the_size_of_their_structure_alone(economy: Economy) -> None:
    loud = draw_economy(200, 531, 3, Dials(effects=0.04, regimes=0, spillover=0.02, drift=0))
    np.testing.assert_allclose(loud.strength, 2 * economy.strength)
    assert not loud.regime_strength.any()
    assert (loud.spillover, loud.path_vol) == (0.02 * NOISE_VOL, 0)
    for name in ("rho", "loadings", "stationary", "factor_vol", "half_life", "kinship", "starts", "coverage"):
        np.testing.assert_array_equal(getattr(loud, name), getattr(economy, name))


def test_a_premium_halves_in_its_half_life(economy: Economy) -> None:
    quiet = np.zeros(len(economy.strength))
    np.testing.assert_allclose(premia(economy, economy.first_era, quiet), economy.strength)
    half_life = float(economy.half_life[0])
    later = premia(economy, economy.first_era + round(half_life), quiet)[0]
    assert later == pytest.approx(economy.strength[0] / 2, rel=0.01)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"drift": -0.1}, "dial drift: -0.1, expected a number >= 0"), ({"interactions": 1.1}, r"expected 0\.\.1")],
)
def test_a_dial_out_of_range_is_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(SandboxError, match=message):
        Dials(**wrong)
