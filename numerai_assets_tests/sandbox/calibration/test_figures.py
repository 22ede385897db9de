"""Worlds of the default size are like Numerai within the stated tolerances, whatever the seed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.calibration import figures as calibration
from numerai_assets.sandbox.calibration import report as calibration_report
from numerai_assets.sandbox.calibration.attainable import Attainable, attainable
from numerai_assets.sandbox.calibration.enlarged import Enlarged
from numerai_assets.sandbox.calibration.figures import Figure
from numerai_assets.sandbox.published.prediction_names import EXAMPLE
from numerai_assets.sandbox.published.sizes import SIZES
from numerai_assets.sandbox.world.history import World

DEFAULT = SIZES["default"]
ERA = 600
EXACT = Figure("values", "distance", "< 1", 0.4, 0, 1, "exact")


def out_of_tolerance(figures: list[Figure]) -> list[str]:
    return [f"{f.part}, {f.name}: {f.ours:.4f} not in {f.low:.4f}..{f.high:.4f}" for f in figures if not f.holds]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_features_look_like_numerais(seed: int) -> None:
    as_many = Enlarged(DEFAULT, seed, stocks=calibration.NUMERAI_STOCKS, begins=ERA)
    assert not out_of_tolerance(calibration.structure(as_many, ERA))
    assert not out_of_tolerance(calibration.persistence(Enlarged(DEFAULT, seed, stocks=1000, begins=ERA), ERA))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_targets_resemble_each_other_as_numerais_do(seed: int) -> None:
    section = Enlarged(DEFAULT, seed, stocks=2000, begins=ERA)
    assert not out_of_tolerance(calibration.targets(section, range(ERA, ERA + 27, 13)))


def test_single_features_say_as_little_as_numerais() -> None:
    section = Enlarged(DEFAULT, 0, stocks=1200, begins=ERA)
    assert not out_of_tolerance(calibration.feature_ics(section, range(ERA, ERA + 105, 13)))


def test_a_feature_that_says_much_is_out_of_tolerance() -> None:
    loud = replace(EXACT, ours=1.2)
    assert out_of_tolerance([EXACT, loud]) == ["values, distance: 1.2000 not in 0.0000..1.0000"]
    assert "| 1.2 **out** |" in calibration_report.figures_table([loud])


# Makes a world of the default size and fits its rivals: most of a minute.
@pytest.mark.slow
def test_the_example_model_scores_as_numerais_does_and_far_below_what_is_attainable(tmp_path: Path) -> None:
    world = World.create(tmp_path / "world", size="default", seed=0)
    scores = calibration.example_model(world, stocks=1500)
    assert not out_of_tolerance(calibration.model(scores))
    assert not out_of_tolerance(calibration.contributions(world))
    found = {(line.component, line.horizon): line for line in attainable(world)}
    for horizon in (20, 60):
        everything, example = found["all", horizon], found[EXAMPLE, horizon]
        assert everything.mean > example.mean + 2 * (everything.error + example.error)
        assert all(
            line.mean > -2 * line.error
            for (name, h), line in found.items()
            if h == horizon and name not in ("all", EXAMPLE)
        )


def test_the_table_sets_real_beside_ours() -> None:
    rows = calibration_report.figures_table([EXACT]).splitlines()
    assert rows[2] == "| values | distance | < 1 | 0.4 | 0 to 1 | exact |"


def test_attainable_is_shown_with_errors_and_the_example_models_share() -> None:
    lines = [
        Attainable(name, horizon, mean, 0.001)
        for name, mean in (("all", 0.08), (EXAMPLE, 0.02))
        for horizon in (20, 60)
    ]
    rows = calibration_report.attainable_table(lines).splitlines()
    assert rows[2] == "| all | +0.0800 ± 0.0010 | +0.0800 ± 0.0010 |"
    assert rows[-1] == f"| {EXAMPLE}, share of all | 25% | 25% |"


def test_tables_go_between_their_marks() -> None:
    text = "before <!-- figures -->\nold\n<!-- /figures --> after"
    assert calibration_report.fill(text, "figures", "new") == "before <!-- figures -->\nnew\n<!-- /figures --> after"
    with pytest.raises(SandboxError, match="expected the marks"):
        calibration_report.fill("no marks", "figures", "new")


def test_an_enlarged_world_publishes_the_worlds_features(tiny_world: Path) -> None:
    world = World.open(tiny_world)
    section = Enlarged.of(world, stocks=500, begins=600)
    bins = section.features(600)
    assert bins.shape == (500, len(world.feature_names))
    # A characteristic that came late is missing in both, at the same place.
    early = Enlarged.of(world, stocks=200, begins=world.first_era)
    absent = (world.features(world.first_era) == 2).all(axis=0)
    assert absent.any()
    np.testing.assert_array_equal((early.features(world.first_era) == 2).all(axis=0), absent)


def test_real_prices_cannot_be_enlarged(tiny_world: Path) -> None:
    world = World.open(tiny_world)
    world.recipe = replace(world.recipe, market="prices")
    with pytest.raises(SandboxError, match="cannot be enlarged"):
        Enlarged.of(world, stocks=500, begins=600)
