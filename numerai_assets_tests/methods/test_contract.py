"""What every method promises: ranks within eras, and constructors that scikit-learn can copy."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from numerai_assets.errors import MethodError
from numerai_assets.methods.contract import rank_within_eras
from numerai_assets.methods.registry import METHODS, create_method, method_class
from numerai_assets.panel.panel import EraPanel
from numerai_assets.settings import MethodSettings
from numerai_assets_tests.methods.plain_method import PlainMethod

LAWFUL = settings(deadline=None, max_examples=60)
MakePanel = Callable[..., EraPanel]
ERAS = st.lists(st.lists(st.integers(-20, 20), min_size=1, max_size=20), min_size=1, max_size=6)


@given(scores=ERAS)
@LAWFUL
def test_ranks_are_those_of_pandas_within_each_era(scores: list[list[int]]) -> None:
    raw = np.concatenate([np.array(era, float) for era in scores])
    rows = [len(era) for era in scores]

    ranked = rank_within_eras(raw, rows)

    by_era = pd.Series(raw).groupby(np.repeat(range(len(rows)), rows))
    expected = (by_era.rank() - 0.5) / by_era.transform("size")
    assert ranked.dtype == np.float32
    np.testing.assert_allclose(ranked, expected, rtol=1e-6)
    assert ((ranked > 0) & (ranked < 1)).all()


@given(scores=ERAS, later=st.lists(st.integers(-20, 20), min_size=1, max_size=20))
@LAWFUL
def test_an_era_that_comes_later_changes_no_rank_before_it(scores: list[list[int]], later: list[int]) -> None:
    raw = np.concatenate([np.array(era, float) for era in scores])
    rows = [len(era) for era in scores]

    longer = rank_within_eras(np.r_[raw, np.array(later, float)], [*rows, len(later)])

    np.testing.assert_array_equal(longer[: len(raw)], rank_within_eras(raw, rows))


def test_the_ranks_of_a_large_era_stay_inside_zero_and_one_and_apart() -> None:
    ranked = rank_within_eras(np.arange(10_000.0), [10_000])

    assert 0 < ranked.min() < ranked.max() < 1
    assert len(np.unique(ranked)) == 10_000


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("profile", ["quick", "full"])
def test_each_method_can_be_copied_by_scikit_learn(name: str, profile: str) -> None:
    method = method_class(name).of_profile(profile)  # type: ignore[arg-type]

    copy = clone(method)

    assert copy is not method
    assert type(copy) is type(method)
    assert copy.get_params() == method.get_params()
    assert method.name == name


@pytest.mark.parametrize("name", METHODS)
def test_parameters_of_the_settings_replace_those_of_the_profile(name: str) -> None:
    method = create_method(name, MethodSettings(profile="quick", parameters={"every_eras": 3}))

    plain = create_method(name, MethodSettings(profile="quick"))
    assert method.get_params() == plain.get_params() | {"every_eras": 3}
    assert method.every_eras == 3


def test_an_unknown_method_is_refused_with_those_there_are() -> None:
    with pytest.raises(MethodError, match=r"'oracle' is unknown; there are .*benchmark"):
        method_class("oracle")


@pytest.mark.parametrize("name", METHODS)
def test_the_smoke_profile_of_each_method_is_fitted_and_predicts(name: str, make_panel: MakePanel) -> None:
    method = create_method(name, MethodSettings(profile="smoke"))
    panel = make_panel(range(1, 41), rows=60)
    (label,) = panel.targets_of_block.values()
    panel = replace(panel, targets_of_block={"target_ender_60": label} | dict.fromkeys(method.auxiliary_targets, label))

    predicted = method.fit(panel, target="target_ender_60", seed=0).predict(panel)

    assert predicted.shape == (panel.rows,)
    assert len(np.unique(predicted)) > 10
    quick = create_method(name, MethodSettings(profile="quick")).get_params()
    assert method.get_params()["n_estimators"] <= quick["n_estimators"] / 10


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"device": "cuda"}, "methods.benchmark.device: benchmark cannot use it"),
        ({"processes": 2}, "methods.benchmark.processes: benchmark cannot use it"),
        ({"source": "no_such_module:Method"}, "methods.benchmark.source: no_such_module:Method cannot be imported"),
        ({"source": "numerai_assets.eras:Wall"}, "numerai_assets.eras:Wall is not a subclass of numerai_assets.Method"),
        ({"source": "oracle"}, "method 'oracle' is unknown"),
    ],
)
def test_settings_that_a_method_cannot_follow_are_refused(settings_: dict[str, Any], message: str) -> None:
    with pytest.raises(MethodError, match=re.escape(message)):
        create_method("benchmark", MethodSettings(**settings_))


def test_a_class_of_ones_own_and_a_second_name_for_a_registered_method_are_found() -> None:
    own = create_method("mine", MethodSettings(source="numerai_assets_tests.methods.dial:Dial"))
    second = create_method("deep", MethodSettings(source="benchmark", parameters={"max_depth": 8}))

    assert type(own).__name__ == "Dial"
    assert second.name == "benchmark"
    assert second.get_params()["max_depth"] == 8


def test_a_method_that_declares_no_space_says_so() -> None:
    assert method_class("benchmark").declares_space()
    assert not PlainMethod.declares_space()
