"""Engineered features through the weekly job: computed for history and the live round alike, fitted on, submitted."""

import pytest

from numerai_assets.checks.model_checks import block_wall_held
from numerai_assets.eras import era_label, live_key
from numerai_assets.pipeline.ladder import Rung
from numerai_assets.pipeline.vintages import load_vintage
from numerai_assets.settings import load_settings
from numerai_assets.store.wall_crossings import crossings
from numerai_assets_tests.end_to_end.rehearsal import Rehearsal

SLOT = "sandbox_one"
LAGS = "lags = [1, 2, 5, 13, 17, 21, 26, 39]"
SETTINGS = f"""
[features.look_alikes]
on = true
parameters = {{ {LAGS}, dims = 8, feature_set = "all" }}
[features.aggregates]
on = true
parameters = {{ groups = ["charisma", "constitution", "wisdom"] }}
[features.target_momentum]
on = true
parameters = {{ {LAGS}, returns = [4, 13] }}
[features.embeddings]
on = true
feature_set = "small"
parameters = {{ rank = 4, every_eras = 2 }}
"""


@pytest.fixture
def with_features(rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch) -> Rehearsal:
    """The rehearsal after its first weekend, at the next one, with blocks switched on that its method is given."""
    folder = rehearsal.settings.home.parent
    known = (folder / "home.toml").read_text()
    method = "[methods.benchmark]\nblocks = ['aggregates', 'target_momentum', 'embeddings']\n"
    changed = known.replace("[methods.benchmark.parameters]", f"{method}[methods.benchmark.parameters]") + SETTINGS
    (folder / "features.toml").write_text(changed)
    monkeypatch.setenv("NUMERAI_SETTINGS", str(folder / "features.toml"))
    rehearsal.to_next_weekend()
    return Rehearsal.over(load_settings(), rehearsal.world)


@pytest.mark.slow  # Four blocks over the whole of a tiny history, and every vintage fitted anew.
def test_blocks_that_are_switched_on_are_computed_fitted_on_and_submitted(with_features: Rehearsal) -> None:
    current, done = with_features.weekly()

    workspace = with_features.workspace
    assert current is not None
    receipt = workspace.desk.receipt(current.number, SLOT)
    assert receipt is not None
    assert workspace.desk.is_proven(current.number, SLOT)
    assert receipt.rung == Rung.FRESH
    jobs = [item.step.job for item in done]
    assert jobs.index("blocks") < jobs.index("vintage") < jobs.index("round")
    eras = [era_label(era) for era in workspace.store.eras()]
    for block in ("look_alikes", "aggregates", "target_momentum"):
        assert workspace.engineered.keys(block) == sorted([*eras, live_key(current.number)])
        assert workspace.engineered.verify(block) == []

    facts = workspace.vintages.facts("benchmark", receipt.vintage)
    names = load_vintage(workspace, "benchmark", receipt.vintage).feature_names_
    assert {name.partition(".")[0] for name in names if "." in name} == set(facts.blocks)
    assert "features:target_ender_60" in facts.uses
    assert crossings(facts) == []
    learned = workspace.fitted_blocks.facts("embeddings", receipt.vintage)
    assert crossings(learned) == []
    assert block_wall_held("embeddings") is not None

    # Nothing is due any more.
    assert with_features.weekly()[1] == []
