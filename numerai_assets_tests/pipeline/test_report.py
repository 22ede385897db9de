"""The report of a workspace made by hand: what it holds is on the page, and what it lacks is said."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from numerai_assets.eras import era_label, friday_of
from numerai_assets.pipeline.equal_blend import EQUAL_BLEND, write_equal_blend
from numerai_assets.pipeline.explanations import write_explanations
from numerai_assets.pipeline.report import Judged, inline_plots, write_report
from numerai_assets.pipeline.sampled_eras import drifted_shares, sampled_eras
from numerai_assets.pipeline.vintages import training_data
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.settings import MethodSettings, Settings
from numerai_assets.store.atomic import write_json
from numerai_assets.store.vintage_store import Refusal
from numerai_assets.tournament.receipt import Receipt, RejectedCandidate, Step
from numerai_assets_tests.evaluation.synthetic_scores import synthetic_scores

ERAS = range(900, 912)
ROWS, FEATURES = 60, 6
NAMES = [f"feature_{place}" for place in range(FEATURES)]
SECTIONS = (
    "Since last week",
    "Validation",
    "Regimes",
    "Methods compared",
    "Exposures",
    "Stability",
    "Feature importance",
    "Live against validation",
    "Payouts",
    "Submissions",
    "Drift",
)


def workspace_at(home: Path) -> Workspace:
    return Workspace(
        Settings(
            home=home,
            slots={"one": "benchmark", "two": "second"},
            methods={"benchmark": MethodSettings(), "second": MethodSettings()},
        )
    )


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Eras 900 to 911 of features and targets; `benchmark` predicts feature 0, `second` its contrary and not era 905."""
    workspace = workspace_at(tmp_path)
    for era in ERAS:
        rng = np.random.default_rng(era)
        features = rng.integers(0, 5, (ROWS, FEATURES), dtype=np.int8)
        ids = [f"n{era}{row:04d}" for row in range(ROWS)]
        write_era(workspace, era_label(era), era, ids, features)
        rising = np.clip((features[:, 0] + rng.random(ROWS)) / 5, 0.01, 0.99).astype(np.float32)
        workspace.predictions.write("benchmark", 892, era_label(era), era=era, ids=ids, prediction=rising)
        if era != 905:
            workspace.predictions.write(
                "second", 892, era_label(era), era=era, ids=ids[::-1], prediction=1 - rising[::-1]
            )
    write_json(
        workspace.release.path("features.json"),
        {"feature_sets": {"all": NAMES, "wisdom": NAMES[:2], "faith": NAMES[2:]}, "targets": []},
    )
    for place, method in enumerate(("benchmark", "second")):
        path = workspace.diagnostics_path(method)
        path.parent.mkdir(parents=True, exist_ok=True)
        synthetic_scores(30, seed=place).to_parquet(path)
    return workspace


def write_era(workspace: Workspace, key: str, era: int, ids: list[str], features: np.ndarray) -> None:
    targets = pd.DataFrame(dict.fromkeys(("target_ender_20", "target_ender_60"), features[:, 0] / 4), dtype=np.float32)
    workspace.store.write_era(
        key, era=era, ids=ids, features=features, feature_names=NAMES, targets=targets, targets_as_of=era + 13
    )
    workspace.store.clean_as_released(key, strategy="keep")


def write_round(workspace: Workspace, number: int, level: int | None) -> None:
    """A live round of era 912 whose features are all of one level, or like those before."""
    day = friday_of(912).isoformat()
    moment = f"{day}T12:00:00+00:00"
    write_json(
        workspace.rounds_folder / str(number) / "round.json", {"opens": moment, "closes": moment, "data_day": day}
    )
    features = np.random.default_rng(number).integers(0, 5, (ROWS, FEATURES), dtype=np.int8)
    if level is not None:
        features[:, 1:4] = level
    write_era(workspace, f"X@{number}", 912, [f"live{number}{row}" for row in range(ROWS)], features)


def write_live_scores(workspace: Workspace) -> None:
    """CORR and MMC of one slot in round 1300."""
    live = pd.DataFrame(
        {
            "slot": "one",
            "round_number": [1300, 1300],
            "display_name": ["corr60", "mmc60"],
            "day": 1,
            "date": [friday_of(914)] * 2,
            "value": [0.0123, 0.0456],
            "percentile": 0.5,
            "resolved": False,
        }
    )
    live.to_parquet(workspace.scores_path)
    paying = {"isPayout": True, "clipThreshold": 1, "payoutFactor": 0.5}
    configs = [
        paying | {"displayName": name, "defaultMultiplier": multiplier}
        for name, multiplier in (("corr60", 3), ("mmc60", 15))
    ]
    write_json(workspace.scores_path.with_suffix(".json"), {"round": 1301, "score_configs": {"1300": configs}})


def test_an_empty_workspace_has_a_page_that_says_of_each_section_what_it_waits_for(tmp_path: Path) -> None:
    page = tmp_path / "report.html"

    write_report(workspace_at(tmp_path), page)

    text = page.read_text()
    assert text.count("Nothing yet.") == len(SECTIONS)
    assert all(section in text for section in SECTIONS)


def test_what_the_workspace_holds_is_on_the_page(workspace: Workspace, tmp_path: Path) -> None:
    write_round(workspace, 1300, None)
    refused = (RejectedCandidate("fresh vintage", (("benchmark", 900),), "correlation with the benchmark is -0.5"),)
    receipt = Receipt(
        1300, "one", 1, "benchmark", 892, "older vintage", refused, Step.PROVEN, ROWS, "f" * 64, (("built", "now"),)
    )
    write_json(workspace.rounds_folder / "1300" / "submissions" / "one" / "1" / "receipt.json", asdict(receipt))
    write_live_scores(workspace)
    found = pd.DataFrame(
        {"feature": NAMES, "vintage": 892, "model": "m", "gain": 1 / FEATURES, "permutation": 0.01, "shap": 0.1}
    )
    by_era = pd.concat([found.assign(era=era) for era in (900, 908)], ignore_index=True)
    write_explanations(workspace, "benchmark", by_era)
    scores = pd.read_parquet(workspace.diagnostics_path("benchmark"))
    exposed = scores.assign(largest_exposure=0.4, mean_exposure=0.1)
    exposed.to_parquet(workspace.diagnostics_path("benchmark"))
    churned = {"0892 and 0900": {"churn": 0.1234, "churn_of_ends": 0.3}}
    write_json(workspace.diagnostics_path("benchmark").with_suffix(".churn.json"), churned)
    write_json(workspace.folder / "searches" / "benchmark-corr-0.seeds.json", {"search": "benchmark-corr", "seeds": 7})

    write_report(workspace, tmp_path / "report.html")

    text = (tmp_path / "report.html").read_text()
    assert "Nothing yet." not in text
    assert "correlation with the benchmark is -0.5" in text
    assert "0.0456" in text
    assert "12 scored eras from 0900 to 0911" in text
    assert "Features of benchmark 0892" in text
    assert all(found in text for found in ("0892 and 0900", "0.1234", "benchmark-corr"))
    assert "probability of a true mean above 0" in text
    # 3 x 0.0123 + 15 x 0.0456, by the configs of the round: half of it.
    assert "0.3605" in text
    assert text.count('<div class="figure"') == 2 + 3 + 3 + 2 + 1 + 1 + 1


def test_sampled_eras_show_how_methods_and_features_go_together(workspace: Workspace) -> None:
    scores = {method: pd.read_parquet(workspace.diagnostics_path(method)) for method in ("benchmark", "second")}

    sampled = sampled_eras(workspace, scores)

    assert sampled is not None
    assert sampled.eras == tuple(ERAS)
    assert sampled.correlations.loc["benchmark", "second"] == -1
    exposures = sampled.exposures["benchmark"]
    assert exposures["wisdom"].min() > 0.5 > exposures["faith"].max()
    assert list(sampled.exposures["second"].index) == [era for era in ERAS if era != 905]
    assert sampled.calibration["benchmark"].is_monotonic_increasing
    assert sampled.calibration["second"].is_monotonic_decreasing


def test_methods_that_were_never_scored_have_no_sample(workspace: Workspace) -> None:
    assert sampled_eras(workspace, {}) is None


def test_a_round_whose_features_moved_has_drifted(workspace: Workspace) -> None:
    write_round(workspace, 1300, None)
    write_round(workspace, 1301, 4)

    assert drifted_shares(workspace) == {"round 1300": 0.0, "round 1301": 0.5}


def test_the_figures_of_the_page_are_pictures_too(workspace: Workspace) -> None:
    write_round(workspace, 1300, None)
    assert inline_plots(workspace, Judged({}, None, {})) == {}
    write_live_scores(workspace)

    drawn = inline_plots(workspace, Judged.of(workspace))

    both = {f"exposures_of_{method}" for method in ("benchmark", "second")}
    assert set(drawn) == {"calibration", "correlations", "live_of_one", "drift"} | both
    assert all(image.startswith(b"\x89PNG") for image, _ in drawn.values())


def test_the_equal_blend_stands_beside_its_methods(workspace: Workspace, tmp_path: Path) -> None:
    write_equal_blend(workspace.predictions, ["benchmark", "second"])
    synthetic_scores(30, seed=7).to_parquet(workspace.diagnostics_path(EQUAL_BLEND))

    judged = Judged.of(workspace)

    assert list(judged.scores) == ["benchmark", "second", EQUAL_BLEND]
    assert judged.sampled is not None
    assert list(judged.sampled.correlations) == ["benchmark", "second", EQUAL_BLEND]


def test_vintages_that_cannot_be_fitted_and_the_profile_smoke_are_on_the_page(tmp_path: Path) -> None:
    methods = {"benchmark": MethodSettings(profile="smoke")}
    workspace = Workspace(Settings(home=tmp_path, slots={"one": "benchmark"}, methods=methods))
    spec = workspace.specs.method("benchmark")
    workspace.vintages.refuse(
        Refusal("benchmark", 574, "0 <training> eras", spec.digest, training_data(workspace.store, 574))
    )

    write_report(workspace, tmp_path / "report.html")

    page = (tmp_path / "report.html").read_text()
    assert "Vintages that cannot be fitted" in page
    assert "0574" in page
    assert "0 &lt;training&gt; eras" in page
    assert "Profile smoke proves that everything is connected, nothing else: benchmark" in page
