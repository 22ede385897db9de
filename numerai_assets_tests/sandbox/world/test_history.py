"""A world is a Numerai: the published files, the lags, no look-ahead, the same from the same seed."""

import datetime as dt
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numerai_tools.scoring import numerai_corr

from numerai_assets.eras import friday_of
from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.market.economy import Dials
from numerai_assets.sandbox.market.oracle import COMPONENTS
from numerai_assets.sandbox.published import release_writer
from numerai_assets.sandbox.published.encoder import TARGETS
from numerai_assets.sandbox.published.sizes import SIZES
from numerai_assets.sandbox.world.history import World
from numerai_assets_tests.sandbox.releases import check_bins, check_nothing_secret, check_targets, read

NEWEST = SIZES["tiny"].newest_era
ROUND = 5 * (NEWEST - 575) + 1
SMALL = replace(
    SIZES["tiny"],
    characteristics=40,
    stocks=60,
    first_era=551,
    newest_era=606,
    first_benchmark_era=571,
    meta_model_from=588,
    trees=5,
)
Progress = list[tuple[str, int, int]]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A tiny world with its newest weekend round opened. Read only."""
    made = World.create(tmp_path_factory.mktemp("made") / "world", size="tiny", seed=3)
    made.open_round(ROUND, friday_of(NEWEST))
    return made


@pytest.fixture(scope="module")
def release(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release")
    world.write_release(folder, round_number=ROUND)
    return folder


@pytest.fixture(scope="module")
def validation(release: Path) -> pd.DataFrame:
    return read(release, "validation.parquet")


@pytest.fixture(scope="module")
def advanced(world: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Path]:
    """A copy of the world one era later, opened again, and its release."""
    folder = tmp_path_factory.mktemp("advanced")
    later = World.open(Path(shutil.copytree(world.directory, folder / "world")))
    later.advance_era()
    later = World.open(later.directory)
    later.open_round(ROUND + 5, friday_of(NEWEST + 1))
    later.write_release(folder, round_number=ROUND + 5)
    return later, folder


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Progress]:
    """A world that is smaller still, and what was told while it was made. Read only."""
    told: Progress = []
    folder = tmp_path_factory.mktemp("small") / "world"
    return create_small(folder, progress=lambda *step: told.append(step)), told


def create_small(folder: Path, newest_era: int = SMALL.newest_era, **options: Any) -> World:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SIZES, "tiny", replace(SMALL, newest_era=newest_era))
        return World.create(folder, size="tiny", seed=4, **options)


def copy_of(world: World, folder: Path) -> World:
    return World.open(Path(shutil.copytree(world.directory, folder)))


def released(world: World, folder: Path) -> dict[str, bytes]:
    """The newest weekend round's release, by file."""
    number = 5 * (world.newest_era - 575) + 1
    world.open_round(number, friday_of(world.newest_era))
    world.write_release(folder, round_number=number)
    return {name: (folder / "v5.3" / name).read_bytes() for name in release_writer.FILES}


# --- the files ----------------------------------------------------------------------------------------------------


def test_a_release_is_the_twelve_files(release: Path) -> None:
    assert sorted(path.name for path in (release / "v5.3").iterdir()) == sorted(release_writer.FILES)
    assert len(release_writer.FILES) == 12


def test_columns_and_types_are_those_of_the_release(release: Path, world: World) -> None:
    sets = json.loads((release / "v5.3" / "features.json").read_text())
    assert sets["targets"] == list(TARGETS)
    for name, kind in (("train.parquet", {"train"}), ("validation.parquet", {"validation", "test"})):
        frame = read(release, name)
        assert list(frame.columns) == ["era", "data_type", *sets["feature_sets"]["all"], *TARGETS]
        assert frame.index.name == "id" and frame.index.is_unique
        assert set(frame.data_type) == kind
        assert (frame.dtypes[list(world.feature_names)] == np.int8).all()
        assert (frame.dtypes[list(TARGETS)] == np.float32).all()
    assert tuple(sets["feature_sets"]["all"]) == world.feature_names


def test_training_ends_with_0574_and_validation_runs_to_the_newest_era(release: Path, validation: pd.DataFrame) -> None:
    train = read(release, "train.parquet")
    assert train.era.unique().tolist() == [f"{era:04d}" for era in range(531, 575)]
    assert validation.era.unique().tolist() == [f"{era:04d}" for era in range(575, NEWEST + 1)]
    assert train.groupby("era").size().nunique() > 3


def test_bins_are_equal_in_every_era_and_a_missing_feature_is_constant_two(
    validation: pd.DataFrame, release: Path, world: World
) -> None:
    check_bins(pd.concat([validation, read(release, "train.parquet")]), world.feature_names)


def test_target_shares_are_exact_and_targets_come_5_and_13_eras_late(validation: pd.DataFrame) -> None:
    check_targets(validation, NEWEST)
    assert validation.loc[validation.era.astype(int) > NEWEST - 5, list(TARGETS)].isna().all(axis=None)


def test_live_rows_are_x_and_have_every_target_empty(release: Path, validation: pd.DataFrame) -> None:
    live = read(release, "live.parquet")
    assert list(live.columns) == list(validation.columns)
    assert set(live.era) == {"X"} and set(live.data_type) == {"live"}
    assert live[list(TARGETS)].isna().all(axis=None)
    assert (live.dtypes[list(TARGETS)] == np.float32).all()


def test_ids_are_never_shared(release: Path, validation: pd.DataFrame) -> None:
    ids = [read(release, "train.parquet").index, validation.index, read(release, "live.parquet").index]
    everything = np.concatenate(ids)
    assert len(set(everything)) == len(everything)
    assert all(len(row) == 16 and row[0] == "n" for row in everything)


def test_rows_are_in_the_order_of_their_ids(validation: pd.DataFrame) -> None:
    assert all(rows.index.is_monotonic_increasing for _, rows in validation.groupby("era"))


def test_predictions_cover_what_they_should(release: Path, validation: pd.DataFrame, world: World) -> None:
    benchmarks = read(release, "validation_benchmark_models.parquet")
    pd.testing.assert_index_equal(benchmarks.index, validation.index)
    train = read(release, "train_benchmark_models.parquet")
    assert train.era.min() == "0563" and train.era.max() == "0574"
    meta = read(release, "meta_model.parquet")
    assert meta.era.min() == "0606" and meta.era.max() == f"{NEWEST - 13:04d}"
    assert set(meta.data_type) == {"validation"}
    example = read(release, "validation_example_preds.parquet")
    assert (example.prediction == benchmarks.v53_lgbm_ender60).all()
    live = read(release, "live.parquet")
    assert read(release, "live_example_preds.parquet").index.equals(live.index)
    assert set(read(release, "live_benchmark_models.parquet").era) == {"X"}
    for frame in (
        benchmarks[["v53_lgbm_ender20", "v53_lgbm_ender60"]],
        meta[["numerai_meta_model"]],
        world.live(ROUND),
    ):
        assert frame.notna().all(axis=None) and (frame > 0).all(axis=None) and (frame < 1).all(axis=None)


def test_nothing_of_the_oracle_or_of_stocks_is_in_a_release(release: Path) -> None:
    check_nothing_secret(release)


# --- no look-ahead ------------------------------------------------------------------------------------------------


def test_what_was_published_stays_as_it_was(
    advanced: tuple[World, Path], release: Path, validation: pd.DataFrame, world: World
) -> None:
    _, folder = advanced
    later = read(folder, "validation.parquet").loc[validation.index]
    pd.testing.assert_frame_equal(later[list(world.feature_names)], validation[list(world.feature_names)])
    known = validation[list(TARGETS)].notna()
    assert (
        (later[list(TARGETS)].where(known) == validation[list(TARGETS)].where(known)).where(known, True).all(axis=None)
    )
    for name in ("validation_benchmark_models.parquet", "meta_model.parquet"):
        before = read(release, name)
        values = [column for column in before if column not in ("era", "data_type")]
        pd.testing.assert_frame_equal(read(folder, name).loc[before.index][values], before[values])


def test_training_files_are_written_once(advanced: tuple[World, Path], release: Path) -> None:
    _, folder = advanced
    for name in ("train.parquet", "train_benchmark_models.parquet", "features.json"):
        assert (folder / "v5.3" / name).read_bytes() == (release / "v5.3" / name).read_bytes()
    before = (folder / "v5.3" / "train.parquet").stat().st_ino
    advanced[0].write_release(folder, round_number=ROUND + 5)
    assert (folder / "v5.3" / "train.parquet").stat().st_ino == before


def test_an_era_later_one_more_era_is_there_and_one_more_resolved(advanced: tuple[World, Path]) -> None:
    later, folder = advanced
    frame = read(folder, "validation.parquet")
    assert later.newest_era == NEWEST + 1 and frame.era.max() == f"{NEWEST + 1:04d}"
    resolved = frame.dropna(subset=["target_ender_60"]).era.max()
    assert resolved == f"{NEWEST - 12:04d}" == frame.era[frame.data_type == "validation"].max()
    assert read(folder, "meta_model.parquet").era.max() == resolved


# --- the same from the same seed ------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes(small: tuple[World, Progress], tmp_path: Path) -> None:
    first = released(copy_of(small[0], tmp_path / "one"), tmp_path / "release_one")
    again = released(create_small(tmp_path / "other"), tmp_path / "release_other")
    assert first == again


def test_a_world_advanced_is_the_world_created_later(small: tuple[World, Progress], tmp_path: Path) -> None:
    advanced = copy_of(small[0], tmp_path / "advanced")
    created = create_small(tmp_path / "created", newest_era=SMALL.newest_era + 3)
    assert [advanced.advance_era() for _ in range(3)][-1] == created.newest_era
    one, other = (released(made, tmp_path / f"release_{i}") for i, made in enumerate((advanced, created)))
    assert one == other


# --- rounds -------------------------------------------------------------------------------------------------------


def test_a_weekday_round_has_new_ids_but_much_the_same_stocks(advanced: tuple[World, Path]) -> None:
    later, _ = advanced
    later.open_round(ROUND + 7, friday_of(NEWEST + 1) + dt.timedelta(days=4))
    assert not set(later.live(ROUND + 7).index) & set(later.live(ROUND + 5).index)
    stocks = [set(later._round(number).rows()["stocks"].tolist()) for number in (ROUND + 5, ROUND + 7)]
    assert len(stocks[0] & stocks[1]) > 0.9 * len(stocks[0])


def test_opening_a_round_again_changes_nothing(world: World) -> None:
    before = world.live(ROUND)
    world.open_round(ROUND, friday_of(NEWEST))
    pd.testing.assert_frame_equal(world.live(ROUND), before)


def test_live_rows_are_in_the_order_of_live_parquet(world: World, release: Path) -> None:
    assert world.live(ROUND).index.tolist() == read(release, "live.parquet").index.tolist()
    assert list(world.live(ROUND)) == ["numerai_meta_model", "v53_lgbm_ender20", "v53_lgbm_ender60"]


def test_the_live_target_grows_into_the_published_one(world: World) -> None:
    # A weekend round holds the stocks of its Friday's era, so its last value is the era's target, ties apart.
    era = NEWEST - 13
    number = 5 * (era - 575) + 1
    world.open_round(number, friday_of(era))
    live = world.live_target(number, "target_ender_60", 60)
    rows = world._era(era).rows()
    published = dict(zip(rows["stocks"].tolist(), world.target(era, "target_ender_60").tolist(), strict=True))
    stocks = world._round(number).rows()["stocks"].tolist()
    agreement = np.mean([value == published[stock] for value, stock in zip(live, stocks, strict=True)])
    assert agreement > 0.97
    early = world.live_target(number, "target_ender_60", 1)
    assert early.notna().all() and set(early) == {0.0, 0.25, 0.5, 0.75, 1.0} and early.name == "target_ender_60"
    halfway = world.live_target(number, "target_ender_60", 30)
    # A hundred stocks: a day of sixty has a correlation of .13 with them all, with noise of .1.
    assert 0.4 < np.corrcoef(halfway, live)[0, 1] < 0.95 and np.corrcoef(early, live)[0, 1] < 0.5


def test_live_targets_that_make_no_sense_are_refused(world: World) -> None:
    with pytest.raises(SandboxError, match=r"expected 1\.\.60"):
        world.live_target(ROUND, "target_ender_60", 61)
    with pytest.raises(SandboxError, match="expected one of"):
        world.live_target(ROUND, "target_cyrus_20", 20)
    with pytest.raises(SandboxError, match="not opened yet"):
        world.live(ROUND + 1)


def test_rounds_open_only_with_data_of_their_own_era(world: World) -> None:
    with pytest.raises(SandboxError, match="is of era"):
        world.open_round(ROUND + 5, friday_of(NEWEST))
    with pytest.raises(SandboxError, match="advance first"):
        world.open_round(ROUND + 5, friday_of(NEWEST + 1))


# --- making and opening ---------------------------------------------------------------------------------------------


def test_a_world_is_opened_as_it_was_created(world: World) -> None:
    again = World.open(world.directory)
    assert (again.newest_era, again.seed) == (NEWEST, 3)
    assert (again.recipe.market, again.recipe.size.name) == ("synthetic", "tiny")
    assert again.feature_names == world.feature_names and again.last_era > NEWEST + 1000


@pytest.mark.parametrize("arguments", [{"market": "moon"}, {"size": "huge"}, {"market": "prices"}, {"seed": -1}])
def test_what_there_is_no_world_of_is_refused_and_leaves_nothing(tmp_path: Path, arguments: dict[str, Any]) -> None:
    with pytest.raises(SandboxError):
        World.create(tmp_path / "world", **arguments)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(SandboxError, match="not empty"):
        World.create(tmp_path, size="tiny")


def test_the_market_ends_where_it_ends(
    small: tuple[World, Progress], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("numerai_assets.sandbox.market.synthetic.LAST_ERA", SMALL.newest_era)
    made = copy_of(small[0], tmp_path / "world")
    with pytest.raises(SandboxError, match="market ends with era 606"):
        made.advance_era()


def test_progress_is_told_stage_by_stage(small: tuple[World, Progress]) -> None:
    _, told = small
    assert list(dict.fromkeys(stage for stage, _, _ in told)) == ["eras", "targets", "rivals", "predictions"]
    assert all(1 <= done <= total for _, done, total in told)


def test_a_real_feature_list_names_the_features(tmp_path: Path, shared_data: Path) -> None:
    path = shared_data / "numerai_v5.3_features.json"
    made = create_small(tmp_path / "world", features_json=path)
    real = json.loads(path.read_text())["feature_sets"]
    assert len(made.feature_names) == SMALL.characteristics and set(made.feature_names) <= set(real["all"])


# --- the economy as published ---------------------------------------------------------------------------------------


def test_targets_of_one_horizon_resemble_each_other(validation: pd.DataFrame) -> None:
    twenty = [name for name in TARGETS if name.endswith("_20")]
    correlations = validation[twenty].corr()["target_ender_20"].drop("target_ender_20")
    assert correlations.min() > 0.5 and correlations.max() < 0.9
    assert 0.3 < validation["target_ender_20"].corr(validation["target_ender_60"]) < 0.65


def test_the_oracle_predicts_the_published_target(world: World, validation: pd.DataFrame) -> None:
    known = validation[validation.data_type == "validation"]
    scores = []
    for era, rows in known.groupby("era"):
        oracle = pd.Series(world.oracle(int(str(era)), 60), index=rows.index).to_frame("oracle")
        scores.append(numerai_corr(oracle, rows["target_ender_60"])["oracle"])
    # A hundred stocks and three windows: noise of .02 in the mean.
    assert np.mean(scores) > 0.03


def test_the_oracle_is_the_sum_of_its_parts_and_neutral_as_the_target_is(world: World) -> None:
    parts = world.oracle_components(NEWEST, 20)
    assert tuple(parts) == COMPONENTS
    np.testing.assert_allclose(world.oracle(NEWEST, 20), sum(parts.values()), atol=1e-7)
    exposures = world._era(NEWEST).rows()["exposures"]
    assert np.abs(np.corrcoef(world.oracle(NEWEST, 20), exposures.T)[0, 1:]).max() < 1e-3


def test_dials_are_kept_with_the_world(tmp_path: Path) -> None:
    dials = Dials(effects=0, regimes=0, spillover=0.05, drift=0)
    made = create_small(tmp_path / "world", dials=dials)
    assert World.open(made.directory).recipe.dials == dials
    loud = {name for name, part in made.oracle_components(SMALL.newest_era, 20).items() if part.any()}
    assert loud == {"spillover"}


def test_a_price_world_needs_a_panel_that_is_there(tmp_path: Path) -> None:
    with pytest.raises(SandboxError):
        World.create(tmp_path / "world", market="prices", size="tiny", prices=tmp_path / "absent.parquet")
    assert not list(tmp_path.iterdir())
