"""A full release keeps the contract of the other sizes; here 60 features, 40 eras and a twentieth of the rows."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from numerai_tools.scoring import numerai_corr

from numerai_assets.cli.main import main
from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.full_release import write as full_release
from numerai_assets.sandbox.full_release.shape import FullShape
from numerai_assets.sandbox.full_release.write import write_full_release
from numerai_assets.sandbox.market.oracle import COMPONENTS
from numerai_assets.sandbox.published import release_writer
from numerai_assets.sandbox.published.encoder import TARGETS
from numerai_assets.sandbox.published.row_groups import RowGroups
from numerai_assets_tests.sandbox.releases import check_bins, check_nothing_secret, check_targets, read

SHAPE = FullShape(first_era=561, newest_era=600, characteristics=60, rows_share=0.05)
NEWEST = SHAPE.newest_era


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small full release. Read only."""
    made = tmp_path_factory.mktemp("full") / "release"
    write_full_release(made, shape=SHAPE, seed=3, rows_per_group=1000)
    return made


@pytest.fixture(scope="module")
def train(folder: Path) -> pd.DataFrame:
    return read(folder, "train.parquet")


@pytest.fixture(scope="module")
def validation(folder: Path) -> pd.DataFrame:
    return read(folder, "validation.parquet")


def feature_names(folder: Path) -> list[str]:
    return list(json.loads((folder / "v5.3" / "features.json").read_text())["feature_sets"]["all"])


# --- the files ----------------------------------------------------------------------------------------------------


def test_a_release_is_the_twelve_files_with_the_oracle_apart(folder: Path) -> None:
    assert sorted(path.name for path in (folder / "v5.3").iterdir()) == sorted(release_writer.FILES)
    assert sorted(path.name for path in folder.iterdir()) == ["oracle", "release.json", "v5.3"]
    assert sorted(path.stem for path in (folder / "oracle").iterdir()) == [f"{era:04d}" for era in SHAPE.eras]


def test_columns_types_and_index_are_those_of_the_release(
    folder: Path, train: pd.DataFrame, validation: pd.DataFrame
) -> None:
    names = feature_names(folder)
    live = read(folder, "live.parquet")
    for frame, kinds in ((train, {"train"}), (validation, {"validation", "test"}), (live, {"live"})):
        assert list(frame.columns) == ["era", "data_type", *names, *TARGETS]
        assert frame.index.name == "id" and frame.index.is_unique
        assert set(frame.data_type) == kinds
        assert (frame.dtypes[names] == np.int8).all() and (frame.dtypes[list(TARGETS)] == np.float32).all()
    assert set(live.era) == {"X"} and live[list(TARGETS)].isna().all(axis=None)


def test_eras_are_contiguous_and_part_at_0574_with_the_rows_of_the_shape(
    train: pd.DataFrame, validation: pd.DataFrame
) -> None:
    counts = pd.concat([train, validation]).groupby("era").size()
    assert counts.index.tolist() == [f"{era:04d}" for era in SHAPE.eras]
    assert train.era.max() == "0574"
    assert np.abs(counts.to_numpy() - [SHAPE.stocks_in(era) for era in SHAPE.eras]).max() <= 3


def test_bins_are_equal_in_every_era_and_a_missing_feature_is_constant_two(
    folder: Path, train: pd.DataFrame, validation: pd.DataFrame
) -> None:
    check_bins(pd.concat([train, validation]), feature_names(folder))


def test_target_shares_are_exact_and_targets_come_5_and_13_eras_late(validation: pd.DataFrame) -> None:
    check_targets(validation, NEWEST)


def test_ids_are_never_shared_and_rows_go_by_id(folder: Path, train: pd.DataFrame, validation: pd.DataFrame) -> None:
    live = read(folder, "live.parquet")
    ids = np.concatenate([train.index, validation.index, live.index])
    assert len(set(ids)) == len(ids) and all(len(row) == 16 and row[0] == "n" for row in ids)
    assert all(rows.index.is_monotonic_increasing for _, rows in validation.groupby("era"))
    assert live.index.is_monotonic_increasing


def test_predictions_cover_what_they_should(folder: Path, train: pd.DataFrame, validation: pd.DataFrame) -> None:
    benchmarks = read(folder, "validation_benchmark_models.parquet")
    pd.testing.assert_index_equal(benchmarks.index, validation.index)
    of_train = read(folder, "train_benchmark_models.parquet")
    pd.testing.assert_index_equal(of_train.index, train.index[train.era.astype(int) >= SHAPE.first_benchmark_era])
    meta = read(folder, "meta_model.parquet")
    assert (meta.era.min(), meta.era.max(), set(meta.data_type)) == ("0575", f"{NEWEST - 13:04d}", {"validation"})
    example = read(folder, "validation_example_preds.parquet")
    assert (example.prediction == benchmarks.v53_lgbm_ender60).all()
    text = pd.read_csv(folder / "v5.3" / "validation_example_preds.csv", index_col="id")
    assert (text.prediction.to_numpy() == example.prediction.to_numpy()).all()
    assert read(folder, "live_example_preds.parquet").index.equals(read(folder, "live.parquet").index)
    values = [benchmarks.drop(columns="era"), of_train.drop(columns="era"), meta[["numerai_meta_model"]], example]
    assert all(((frame > 0) & (frame < 1)).all(axis=None) for frame in values)


def test_live_rows_are_those_of_the_newest_era_under_other_ids(folder: Path, validation: pd.DataFrame) -> None:
    live, newest = read(folder, "live.parquet"), validation[validation.era == f"{NEWEST:04d}"]
    names = feature_names(folder)
    assert sorted(map(tuple, live[names].to_numpy())) == sorted(map(tuple, newest[names].to_numpy()))


def test_nothing_of_the_oracle_or_of_stocks_is_in_a_release(folder: Path) -> None:
    check_nothing_secret(folder)


# --- no look-ahead ------------------------------------------------------------------------------------------------


def test_what_was_published_stays_as_it_was_when_three_eras_more_are_written(
    tmp_path: Path, folder: Path, validation: pd.DataFrame
) -> None:
    write_full_release(tmp_path / "later", shape=replace(SHAPE, newest_era=NEWEST + 3), seed=3, rows_per_group=777)
    assert read(tmp_path / "later", "train.parquet").equals(read(folder, "train.parquet"))
    later = read(tmp_path / "later", "validation.parquet").loc[validation.index]
    names, known = feature_names(folder), validation[list(TARGETS)].notna()
    pd.testing.assert_frame_equal(later[names], validation[names])
    assert (later[list(TARGETS)] == validation[list(TARGETS)]).where(known, True).all(axis=None)
    benchmarks = read(folder, "validation_benchmark_models.parquet")
    pd.testing.assert_frame_equal(
        read(tmp_path / "later", "validation_benchmark_models.parquet").loc[benchmarks.index], benchmarks
    )


# --- the economy as published ---------------------------------------------------------------------------------------


def test_the_oracle_lies_beside_its_rows_and_predicts_their_target(folder: Path, validation: pd.DataFrame) -> None:
    scores = []
    for era, rows in validation[validation.data_type == "validation"].groupby("era"):
        with np.load(folder / "oracle" / f"{era}.npz") as held:
            assert held["ids"].astype(str).tolist() == rows.index.tolist()
            assert held["oracle_60"].shape == (len(rows), len(COMPONENTS))
            best = pd.DataFrame({"best": held["oracle_60"].sum(axis=1)}, index=rows.index)
        scores.append(numerai_corr(best, rows["target_ender_60"])["best"])
    # One window of 280 stocks: noise of .06.
    assert np.mean(scores) > 0.01


def test_a_stock_keeps_its_characteristics_from_week_to_week(folder: Path, validation: pd.DataFrame) -> None:
    names, pairs = feature_names(folder), []
    for era in (576, 577):
        with np.load(folder / "oracle" / f"{era:04d}.npz") as held:
            rows = validation[validation.era == f"{era:04d}"]
            pairs.append(pd.DataFrame(rows[names].to_numpy(), index=held["stocks"]))
    before, after = pairs[0].align(pairs[1], join="inner", axis=0)
    exists = before.std() > 0
    correlation = before.loc[:, exists].corrwith(after.loc[:, exists])
    assert len(before) > 250 and 0.6 < correlation.mean() < 0.95


def test_rivals_resemble_each_other_and_differ(folder: Path) -> None:
    benchmarks, meta = read(folder, "validation_benchmark_models.parquet"), read(folder, "meta_model.parquet")
    both = benchmarks.join(meta["numerai_meta_model"], how="inner").drop(columns="era").corr(method="spearman")
    assert 0.4 < both.loc["v53_lgbm_ender20", "v53_lgbm_ender60"] < 0.8
    assert 0.7 < both.loc["numerai_meta_model", "v53_lgbm_ender60"] < 0.95


# --- whole or not at all --------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(folder: Path, tmp_path: Path) -> None:
    for seed in (3, 4):
        write_full_release(tmp_path / str(seed), shape=SHAPE, seed=seed, rows_per_group=1000)
    same, other = (
        [
            (tmp_path / seed / "v5.3" / name).read_bytes() == (folder / "v5.3" / name).read_bytes()
            for name in release_writer.FILES
        ]
        for seed in ("3", "4")
    )
    assert all(same) and not any(other)


def test_a_run_that_fails_half_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(RowGroups, "_write", fail)
    with pytest.raises(OSError, match="no space left"):
        write_full_release(tmp_path / "release", shape=SHAPE, rows_per_group=1000)
    assert not list(tmp_path.iterdir())


def test_a_killed_run_leaves_no_file_under_its_final_name_and_can_be_started_again(tmp_path: Path) -> None:
    out = tmp_path / "release"
    arguments = ["--out", str(out), "--eras", "0561-0600", "--features", "60", "--rows-share", "0.05"]
    killed = subprocess.Popen(
        [sys.executable, "-m", "numerai_assets.cli.main", "sandbox", "full-release", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    aside = out.with_name("release.partial") / "oracle" / "0575.npz"
    while not aside.exists():
        assert killed.poll() is None
        time.sleep(0.005)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not out.exists() and aside.exists()
    result = CliRunner().invoke(main, ["sandbox", "full-release", *arguments])
    assert result.exit_code == 0 and "anonymous MB" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["release"] and len(read(out, "train.parquet")) > 3000


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(SandboxError, match="not empty"):
        write_full_release(tmp_path, shape=SHAPE)


def test_too_small_a_disk_is_told_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = full_release.shutil.disk_usage(tmp_path)._replace(free=3_000_000)
    monkeypatch.setattr(full_release.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(SandboxError, match=r"0\.0 GB are free, a release of eras 0561-0600, 60 features"):
        write_full_release(tmp_path / "release", shape=SHAPE)
    assert not list(tmp_path.iterdir())
