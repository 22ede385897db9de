"""What matters to a method, found on eras its vintages predicted: planted features first, nothing found twice."""

import re
import shutil
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from numerai_assets.eras import PAYOUT_TARGET, era_label
from numerai_assets.errors import MethodError, StoreError
from numerai_assets.methods.benchmark import Benchmark
from numerai_assets.methods.contract import Method
from numerai_assets.panel.panel import Reads
from numerai_assets.pipeline.explanations import (
    Explainer,
    eras_to_explain,
    explanations_are_stale,
    read_by_era,
    read_importances,
    write_explanations,
)
from numerai_assets.pipeline.predictions import predict_era, vintage_panel
from numerai_assets.pipeline.report import what_matters
from numerai_assets.pipeline.row_explanation import explain_row, places_among
from numerai_assets.pipeline.vintages import load_vintage
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.settings import Explanations, MethodSettings, Settings
from numerai_assets.store.atomic import write_json
from numerai_assets.store.vintage_store import seal

METHOD = "benchmark"
PAGE = Path(__file__).parents[2] / "docs" / "explanations.md"
PARAMETERS = {"n_estimators": 60, "learning_rate": 0.1, "max_depth": 4, "colsample_bytree": 0.5}
ERAS = range(900, 926)
RESOLVED = 920
FEATURES, PLANTED, ROWS = 40, 4, 200
NAMES = [f"feature_{place:02d}" for place in range(FEATURES)]
PLANTED_NAMES = set(NAMES[10 : 10 + PLANTED])


class Opaque:
    """The benchmark as a method that can predict and no more."""

    name, reads = METHOD, Reads()

    def __init__(self, inner: Method) -> None:
        self.feature_names_, self.predict, self.explain = inner.feature_names_, inner.predict, inner.explain


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of 26 eras, the last five unresolved, in which four of 40 features tell the target; two vintages."""
    workspace = workspace_at(tmp_path_factory.mktemp("made"))
    for era in ERAS:
        rng = np.random.default_rng(era)
        features = rng.integers(0, 5, (ROWS, FEATURES), dtype=np.int8)
        score = features[:, 10 : 10 + PLANTED].sum(axis=1) + 2 * rng.normal(size=ROWS)
        target = np.searchsorted(np.quantile(score, [0.05, 0.25, 0.75, 0.95]), score) / 4
        known = target if era <= RESOLVED else np.full(ROWS, np.nan)
        workspace.store.write_era(
            era_label(era),
            era=era,
            ids=[f"n{era}{row:04d}" for row in range(ROWS)],
            features=features,
            feature_names=NAMES,
            targets=pd.DataFrame(dict.fromkeys(("target_ender_20", PAYOUT_TARGET), known), dtype=np.float32),
            targets_as_of=RESOLVED + 13,
        )
        workspace.store.clean_as_released(era_label(era), strategy="median")
    write_json(
        workspace.release.path("features.json"),
        {"feature_sets": {"all": NAMES, "wisdom": NAMES[:20], "faith": NAMES[20:]}, "targets": []},
    )
    for vintage, judged in ((910, range(911, 921)), (920, range(921, 926))):
        fit(workspace, vintage, judged)
    return workspace.settings.home


@pytest.fixture
def workspace(made: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return workspace_at(tmp_path)


def workspace_at(home: Path, **looked_at: int) -> Workspace:
    methods = {METHOD: MethodSettings(parameters=PARAMETERS)}
    return Workspace(
        Settings(home=home, slots={"one": METHOD}, methods=methods, explanations=Explanations(**looked_at))
    )


def fit(workspace: Workspace, vintage: int, judged: range, seed: int = 0) -> None:
    panel = workspace.store.panel([era_label(era) for era in range(900, vintage - 4)], targets=[PAYOUT_TARGET])
    with workspace.vintages.writing(METHOD, vintage) as folder:
        estimator = Benchmark(**PARAMETERS).fit(panel, target=PAYOUT_TARGET, seed=seed)
        estimator.save(folder)
        seal(
            folder,
            method=METHOD,
            vintage=vintage,
            first_fit_era=panel.eras[0],
            last_fit_era=panel.eras[-1],
            fit_eras=len(panel.eras),
            rows=panel.rows,
            features=FEATURES,
            **workspace.specs.method(METHOD).as_json(),
        )
    for era in judged:
        predict_era(workspace, METHOD, vintage, estimator, era_label(era))


def explain_all(workspace: Workspace) -> pd.DataFrame:
    explainer = Explainer(workspace, METHOD)
    found = [explainer.explained(era, vintage) for era, vintage in eras_to_explain(workspace, METHOD).items()]
    return write_explanations(workspace, METHOD, pd.concat(found, ignore_index=True))


def test_planted_features_are_in_the_top_decile_by_every_measure(workspace: Workspace) -> None:
    table = explain_all(workspace)

    for measure in ("gain", "permutation", "shap"):
        assert set(table.nlargest(FEATURES // 10, measure)["feature"]) == PLANTED_NAMES, measure
    assert set(table["feature"]) == set(NAMES)
    planted = table[table["feature"].isin(PLANTED_NAMES)]
    assert (planted["permutation"] > 3 * planted["permutation_se"]).all()
    assert (table["group"] == np.where(table["feature"].isin(NAMES[:20]), "wisdom", "faith")).all()


def test_each_era_is_explained_by_the_newest_vintage_that_predicted_it(workspace: Workspace) -> None:
    assert eras_to_explain(workspace, METHOD) == {
        **dict.fromkeys(range(912, 921, 2), 910),
        **dict.fromkeys((922, 924, 925), 920),
    }


def test_eras_whose_target_is_unknown_have_shap_and_no_permutation(workspace: Workspace) -> None:
    explain_all(workspace)

    by_era = read_by_era(workspace, METHOD)

    is_known = by_era["era"] <= RESOLVED
    assert by_era["shap"].notna().all()
    assert (by_era["permutation"].notna() == is_known).all()


def test_as_many_eras_and_features_are_looked_at_as_asked_for(workspace: Workspace) -> None:
    fewer = workspace_at(workspace.settings.home, eras=3, rows=5, features=7)

    explain_all(fewer)

    by_era = read_by_era(fewer, METHOD)
    assert by_era["era"].unique().tolist() == [912, 920, 925]
    first = by_era[by_era["era"] == 912]
    permuted = first[first["permutation"].notna()]
    assert set(permuted["feature"]) == set(first.nlargest(7, "gain")["feature"])
    swarm = Explainer(fewer, METHOD).swarm(925, 920)
    assert swarm is not None
    assert swarm.parts.shape == swarm.levels.shape == (5, FEATURES)


def test_fewer_features_are_permuted_of_a_method_without_trees_and_one_without_parts_has_no_shap(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for room in ("explanations", "row_explanation"):
        monkeypatch.setattr(f"numerai_assets.pipeline.{room}.load_vintage", lambda *asked: Opaque(load_vintage(*asked)))
    slower = workspace_at(workspace.settings.home, eras=1, features_without_trees=5)

    table = explain_all(slower)

    assert (table["permuted_eras"] > 0).sum() == 5
    assert table["shap"].isna().all()
    assert set(table["feature"].head(PLANTED)) == PLANTED_NAMES
    assert Explainer(slower, METHOD).swarm(925, 920) is None
    assert explain_row(slower, METHOD, "0924", "n9240017").parts is None


def test_an_era_is_not_explained_twice_by_one_model(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    explain_all(workspace)
    before = read_by_era(workspace, METHOD)
    asked: list[tuple[int, ...]] = []
    ask = Benchmark.contributions
    monkeypatch.setattr(
        Benchmark, "contributions", lambda self, panel, rows: asked.append(panel.eras) or ask(self, panel, rows)
    )

    explain_all(workspace)
    fit(workspace, 920, range(921, 926), seed=1)
    assert explanations_are_stale(workspace, METHOD)
    explain_all(workspace)

    assert asked == [(922,), (924,), (925,)]
    after = read_by_era(workspace, METHOD)
    assert not explanations_are_stale(workspace, METHOD)
    pd.testing.assert_frame_equal(before[before["vintage"] == 910], after[after["vintage"] == 910])
    assert set(before["model"]) & set(after["model"]) == set(before.loc[before["vintage"] == 910, "model"])


def test_an_older_vintage_that_was_fitted_anew_is_explained_anew(workspace: Workspace) -> None:
    explain_all(workspace)
    assert not explanations_are_stale(workspace, METHOD)

    fit(workspace, 910, range(911, 921), seed=1)

    assert explanations_are_stale(workspace, METHOD)
    explain_all(workspace)
    assert not explanations_are_stale(workspace, METHOD)


def test_the_report_says_what_is_from_before_the_last_fit_and_shows_nothing_that_is_to_be_found_again(
    workspace: Workspace,
) -> None:
    explain_all(workspace)
    assert what_matters(workspace).shown[0].caption == "Features of benchmark 0920"

    fit(workspace, 920, range(921, 926), seed=1)
    assert what_matters(workspace).shown[0].caption == "Features of benchmark 0920, of an older fit"

    workspace.importances_by_era_path(METHOD).unlink()
    assert not what_matters(workspace).shown


def test_two_vintages_of_one_era_are_told_apart(workspace: Workspace) -> None:
    explainer = Explainer(workspace, METHOD)

    older, newer = explainer.swarm(925, 910), explainer.swarm(925, 920)

    assert older is not None and newer is not None
    np.testing.assert_array_equal(older.levels, newer.levels)
    assert not np.array_equal(older.parts, newer.parts)


def test_a_method_whose_importances_are_of_something_else_has_its_first_features_permuted(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    units = pd.DataFrame({"feature": ["unit_0", "unit_1"], "weight": [0.7, 0.3]})
    monkeypatch.setattr(Benchmark, "explain", lambda self, panel: units)
    few = workspace_at(workspace.settings.home, eras=1, features=12)

    explain_all(few)

    by_era = read_by_era(few, METHOD)
    permuted = by_era[by_era["permutation"].notna()]
    assert permuted["feature"].tolist() == NAMES[:12]
    assert by_era.set_index("feature")["gain"].dropna().drop_duplicates().to_dict() == {"unit_0": 0.7, "unit_1": 0.3}


def test_what_is_explained_again_from_nothing_is_the_same(workspace: Workspace) -> None:
    explain_all(workspace)
    before = read_by_era(workspace, METHOD)
    workspace.importances_by_era_path(METHOD).unlink()
    assert explanations_are_stale(workspace, METHOD)

    explain_all(workspace)

    pd.testing.assert_frame_equal(read_by_era(workspace, METHOD), before)


def test_a_method_that_predicted_nothing_is_not_stale_and_cannot_be_explained(tmp_path: Path) -> None:
    workspace = workspace_at(tmp_path)

    assert not explanations_are_stale(workspace, METHOD)
    assert read_importances(workspace, METHOD).empty
    with pytest.raises(StoreError, match="benchmark: no out-of-sample predictions"):
        eras_to_explain(workspace, METHOD)


def test_queries_of_the_page_run_in_the_folder_of_a_workspace(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    explain_all(workspace)
    monkeypatch.chdir(workspace.folder)
    (block,) = re.findall(r"```sql\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)

    matter, by_group = (duckdb.sql(query).df() for query in block.split(";")[:2])

    assert set(matter["feature"].head(PLANTED)) == PLANTED_NAMES
    assert set(matter["method"]) == {METHOD}
    np.testing.assert_allclose(by_group.groupby("era")["share"].sum(), 1)


def test_a_row_is_explained_by_what_was_planted(workspace: Workspace) -> None:
    found = explain_row(workspace, METHOD, "0924", "n9240017")

    prediction = workspace.predictions.read(METHOD, 920, "0924").set_index("id")["prediction"]["n9240017"]
    assert (found.vintage, found.place) == (920, prediction)
    assert found.parts is not None and set(found.parts["feature"]) == set(NAMES)
    assert found.local is not None
    local = found.local.set_index("feature")["weight"]
    assert set(local.nlargest(PLANTED).index) == PLANTED_NAMES
    assert 0.7 < found.r2 <= 1
    again = explain_row(workspace, METHOD, "0924", "n9240017")
    assert again.local is not None
    pd.testing.assert_frame_equal(found.local, again.local)


def test_copies_of_rows_take_the_places_of_the_rows(workspace: Workspace) -> None:
    estimator = load_vintage(workspace, METHOD, 920)
    panel = vintage_panel(workspace, METHOD, 920, estimator, "0924")
    others = panel.features[[3, 90, 17]]

    places = places_among(estimator, panel, 0, np.arange(FEATURES), others)

    np.testing.assert_allclose(places, estimator.predict(panel)[[3, 90, 17]], atol=1e-6)


def test_a_row_that_is_not_there_is_named(workspace: Workspace) -> None:
    with pytest.raises(StoreError, match="era 0924: no row 'nobody' among its 200; ids look like 'n9240000'"):
        explain_row(workspace, METHOD, "0924", "nobody")
    with pytest.raises(StoreError, match="benchmark: no vintage older than era 0905"):
        explain_row(workspace, METHOD, "0905", "n9050000")


def test_a_method_that_reads_columns_of_rows_has_parts_and_no_local_model(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Reader(Benchmark):
        reads = Reads(columns=("look_alikes",))

    panel = workspace.store.panel(["0924"])
    with pytest.raises(MethodError, match="benchmark: reads look_alikes of each row"):
        places_among(Reader(), panel, 0, np.arange(2), np.zeros((3, 2), np.int8))

    monkeypatch.setattr(Benchmark, "reads", property(lambda self: Reader.reads), raising=False)
    found = explain_row(workspace, METHOD, "0924", "n9240017")
    assert found.parts is not None and set(found.parts["feature"].head(PLANTED)) == PLANTED_NAMES
    assert found.local is None and found.r2 is None
