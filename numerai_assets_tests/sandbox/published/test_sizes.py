"""Sizes of worlds, and their fit to a price panel."""

import pytest

from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.published.sizes import FIRST_VALIDATION_ERA, SIZES, data_type_of, fit_to_prices


def test_stocks_grow_from_era_to_era_unless_their_number_is_given() -> None:
    size = SIZES["default"]
    assert (size.stocks_in(size.first_era), size.stocks_in(size.first_era + 10)) == (500, 505)
    assert {size.with_stocks(7).stocks_in(era) for era in (size.first_era, size.newest_era)} == {7}


def test_data_types_follow_the_newest_era() -> None:
    assert data_type_of(574, 640) == "train"
    assert [data_type_of(era, 640) for era in (575, 627, 628, 640)] == ["validation", "validation", "test", "test"]
    assert data_type_of(628, 641) == "validation"


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize(("first", "last"), [(1, 1200), (515, 600), (300, FIRST_VALIDATION_ERA)])
def test_a_size_fits_into_the_eras_of_a_panel(name: str, first: int, last: int) -> None:
    size = fit_to_prices(SIZES[name], first, last)
    assert first <= size.first_era < size.first_benchmark_era <= FIRST_VALIDATION_ERA <= size.newest_era <= last
    assert size.first_era <= FIRST_VALIDATION_ERA - 60


def test_default_fits_rivals_where_validation_starts_and_leaves_60_eras() -> None:
    size = fit_to_prices(SIZES["default"], 1, 700)
    assert (FIRST_VALIDATION_ERA - size.first_benchmark_era) % size.chunk == 0
    assert size.newest_era == 640


@pytest.mark.parametrize(("first", "last"), [(516, 700), (1, 574)])
def test_a_panel_without_training_or_validation_is_refused(first: int, last: int) -> None:
    with pytest.raises(SandboxError, match=f"gives eras {first}..{last}; it must reach from era 515"):
        fit_to_prices(SIZES["tiny"], first, last)
