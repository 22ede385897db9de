"""Validation scores of a workspace: which rows are scored, beside which references."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from numerai_assets.eras import era_label
from numerai_assets.errors import ReleaseError
from numerai_assets.evaluation.diagnostics import era_scores
from numerai_assets.pipeline.diagnostics import read_scores, scored_rows
from numerai_assets.pipeline.workspace import Workspace
from numerai_assets.settings import MethodSettings, Settings
from numerai_assets.tournament.release import META_MODEL, TRAIN_BENCHMARKS, VALIDATION_BENCHMARKS

ERAS, ROWS = (900, 901), 60


def workspace_of(home: Path, version: str) -> Workspace:
    """Two predicted eras, in a release whose benchmarks bear the name of its version."""
    settings = Settings(home=home, data_version=version, methods={"benchmark": MethodSettings()}, slots={})
    workspace, release = Workspace(settings), []
    for era in ERAS:
        rng = np.random.default_rng(era)
        ids = [f"n{era}{row:04d}" for row in range(ROWS)]
        features = rng.integers(0, 5, (ROWS, 3), dtype=np.int8)
        targets = pd.DataFrame({f"target_ender_{h}": rng.integers(0, 5, ROWS) / 4 for h in (20, 60)}, dtype=np.float32)
        workspace.store.write_era(
            era_label(era),
            era=era,
            ids=ids,
            features=features,
            feature_names=["a", "b", "c"],
            targets=targets,
            targets_as_of=era + 13,
        )
        prediction = rng.random(ROWS, np.float32)
        workspace.predictions.write("benchmark", 890, era_label(era), era=era, ids=ids, prediction=prediction)
        columns = ("lgbm_ender20", "lgbm_ender60", "meta")
        release.append(pd.DataFrame({"id": ids} | {name: rng.random(ROWS) for name in columns}))
    digits = version.replace(".", "")
    named = pd.concat(release).rename(columns=lambda name: f"{digits}_{name}" if "lgbm" in name else name)
    workspace.release.folder.mkdir(parents=True)
    benchmarks = named.drop(columns="meta")
    benchmarks[:ROWS].to_parquet(workspace.release.path(TRAIN_BENCHMARKS), index=False)
    benchmarks[ROWS:].to_parquet(workspace.release.path(VALIDATION_BENCHMARKS), index=False)
    meta = named[["id", "meta"]].rename(columns={"meta": "numerai_meta_model"})
    meta.to_parquet(workspace.release.path(META_MODEL), index=False)
    return workspace


def test_a_release_of_another_version_is_scored_by_its_settings_alone(tmp_path: Path) -> None:
    made = (workspace_of(tmp_path / version, version) for version in ("v5.3", "v5.4"))
    today, later = (era_scores(scored_rows(w.predictions, w.store, w.release, "benchmark")) for w in made)

    assert today[["bmc20", "bmc60", "mmc60", "corr60"]].notna().all(axis=None)
    pd.testing.assert_frame_equal(today, later)


def test_a_release_without_a_benchmark_of_the_payout_target_is_named(tmp_path: Path) -> None:
    workspace = workspace_of(tmp_path, "v5.3")
    path = workspace.release.path(VALIDATION_BENCHMARKS)
    pd.read_parquet(path).drop(columns="v53_lgbm_ender60").to_parquet(path, index=False)

    with pytest.raises(
        ReleaseError, match=r"validation_benchmark_models\.parquet: has no benchmark of target_ender_60"
    ):
        next(scored_rows(workspace.predictions, workspace.store, workspace.release, "benchmark"))


def test_there_are_no_scores_before_the_first_diagnostics(tmp_path: Path) -> None:
    scores = read_scores(workspace_of(tmp_path, "v5.3"), "benchmark")

    assert scores.empty
    assert {"corr60", "fnc60", "model"} <= set(scores.columns)
