"""The spec of a vintage: what settings ask for, as one value."""

import json
from typing import Any

import pytest

from numerai_assets.errors import MethodError
from numerai_assets.pipeline.spec import BlockSpec, Specs, VintageSpec, block_spec_of
from numerai_assets.settings import Settings


def specs(**changes: Any) -> Specs:
    method = {"blocks": ["aggregates", "embeddings"]} | changes
    return Specs(Settings(methods={"benchmark": method}, features={name: {"on": True} for name in method["blocks"]}))


def test_a_spec_comes_back_from_a_file_as_it_was() -> None:
    spec = specs().method("benchmark")

    assert VintageSpec.of(json.loads(json.dumps(spec.as_json()))) == spec
    for block in spec.blocks.values():
        assert block_spec_of(json.loads(json.dumps(block.as_json()))) == block


def test_the_same_settings_give_the_same_spec() -> None:
    assert specs().method("benchmark") == specs().method("benchmark")
    assert specs().method("benchmark").digest == specs().method("benchmark").digest


@pytest.mark.parametrize(
    "change",
    [
        {"target": "target_ender_20"},
        {"feature_set": "small"},
        {"seed": 1},
        {"parameters": {"max_depth": 4}},
        {"profile": "smoke"},
        {"rolled": True},
        {"blocks": ["embeddings"]},
    ],
)
def test_whatever_changes_the_model_changes_its_spec(change: dict[str, Any]) -> None:
    assert specs(**change).method("benchmark") != specs().method("benchmark")
    assert specs(**change).method("benchmark").digest != specs().method("benchmark").digest


@pytest.mark.parametrize("change", [{"threads": 3}, {"compute": "dask://127.0.0.1:8786"}])
def test_where_and_how_fast_a_method_is_trained_is_no_part_of_its_spec(change: dict[str, Any]) -> None:
    assert specs(**change).method("benchmark") == specs().method("benchmark")


def test_a_vintage_of_a_version_that_counted_threads_as_a_parameter_is_still_current() -> None:
    spec = specs().method("benchmark")
    stored = spec.as_json()
    stored["parameters"]["num_threads"] = 2
    stored["blocks"]["embeddings"].pop("reads", None)

    assert VintageSpec.of(stored) == spec


def test_threads_among_the_parameters_are_refused_with_the_setting_to_use() -> None:
    with pytest.raises(
        MethodError, match=r"num_threads is no hyperparameter any more; set methods\.benchmark\.threads"
    ):
        specs(parameters={"num_threads": 2}).method("benchmark")


def test_only_the_columns_that_the_settings_ask_for_are_current() -> None:
    asked = specs()
    spec = asked.block("aggregates")
    assert isinstance(spec, BlockSpec)

    assert asked.is_current("aggregates", spec)
    assert not asked.is_current("aggregates", BlockSpec(spec.version + 1, spec.parameters, spec.needs))
    assert not asked.is_current("market_state", spec)
