"""Arrays of levels for property tests."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray


def level_arrays(first: tuple[int, int], second: tuple[int, int]) -> st.SearchStrategy[NDArray[np.int8]]:
    """int8 levels, -1 for missing ones, in a shape of which each axis lies within its bounds."""
    shapes = st.tuples(st.integers(*first), st.integers(*second))
    return shapes.flatmap(lambda shape: arrays(np.int8, shape, elements=st.integers(-1, 4)))
