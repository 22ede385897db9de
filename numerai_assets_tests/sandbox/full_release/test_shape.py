"""The extent of a full release."""

import numpy as np
import pytest

from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.full_release.shape import FullShape


def test_the_full_shape_is_that_of_v5_3() -> None:
    shape = FullShape()
    rows = [[shape.stocks_in(era) for era in eras] for eras in (shape.training, shape.validation)]
    assert (shape.characteristics, shape.first_era, shape.newest_era) == (3555, 1, 1234)
    assert sum(rows[0]) == pytest.approx(2_746_268, rel=1e-3) and sum(rows[1]) == pytest.approx(4_128_060, rel=1e-3)
    assert (min(rows[0]), max(rows[0]), max(rows[1])) == (2314, 6009, 7300)
    assert (shape.first_benchmark_era, shape.meta_model_from) == (157, 1133)


def test_rows_never_fall_faster_than_stocks_leave() -> None:
    rows = np.array([FullShape().stocks_in(era) for era in FullShape().eras])
    # A stock lives twelve years on average.
    assert (-np.diff(rows) < rows[:-1] / (12 * 52)).all()


@pytest.mark.parametrize(
    "wrong",
    [{"first_era": 0}, {"first_era": 575}, {"newest_era": 587}, {"characteristics": 4000}, {"rows_share": 0.0}],
)
def test_a_shape_that_makes_no_release_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(SandboxError):
        FullShape(**wrong)
