"""Engineered features through the weekly job: computed for history and the live round alike, fitted on, submitted."""

import pytest

from numerai_assets.settings import load_settings
from numerai_assets_tests.end_to_end.rehearsal import Rehearsal

SETTINGS = """
[features.look_alikes]
on = true
parameters = { lags = [1, 2, 5, 13, 17, 21, 26, 39], dims = 8, feature_set = "all" }
[features.aggregates]
on = true
parameters = { groups = ["charisma", "constitution", "wisdom"] }
[features.target_momentum]
on = true
parameters = { lags = [1, 2, 5, 13, 17, 21, 26, 39], returns = [4, 13] }
[features.interactions]
on = true
feature_set = "small"
parameters = { pairs = 4 }
"""
BLOCKS = ("aggregates", "target_momentum", "interactions")


@pytest.fixture
def with_features(rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch) -> Rehearsal:
    """The rehearsal after its first weekend, with feature blocks on that its method is given."""
    file = rehearsal.settings.home.parent / "features.toml"
    known = (rehearsal.settings.home.parent / "home.toml").read_text()
    method = "[methods.benchmark]\nblocks = ['aggregates', 'target_momentum', 'interactions']\n"
    file.write_text(
        known.replace("[methods.benchmark.parameters]", f"{method}[methods.benchmark.parameters]") + SETTINGS
    )
    monkeypatch.setenv("NUMERAI_SETTINGS", str(file))
    return Rehearsal.over(load_settings(), rehearsal.world)


def test_blocks_that_are_switched_on_are_computed_fitted_on_and_submitted(with_features: Rehearsal) -> None:
    with_features.to_next_weekend()
    import time

    t = time.time()
    current, done = with_features.weekly()
    print([(d.step.job, d.step.partitions) for d in done], time.time() - t)
    workspace = with_features.workspace
