"""How a step of the plan becomes a run of a job."""

import datetime as dt

import pytest

from numerai_assets.assets.models import model_key
from numerai_assets.assets.partitions import era_partition
from numerai_assets.assets.predictions import out_of_sample_key
from numerai_assets.automation.jobs import PLANNED_TAG, ROUND_TAG, STEP_TAG, WHY_TAG, RunOf, build_jobs, run_of
from numerai_assets.pipeline.plan import Lacking, Step
from numerai_assets.settings import MethodSettings, Settings
from numerai_assets.tournament.client import Round

CURRENT = Round(
    326,
    dt.datetime(2026, 10, 3, 12, tzinfo=dt.UTC),
    dt.datetime(2026, 10, 4, 14, tzinfo=dt.UTC),
    dt.date(2026, 10, 2),
)


def test_a_run_says_which_step_it_is_and_why() -> None:
    run = run_of(Step("release", (), "era 0640 is out"), CURRENT)

    expected = {STEP_TAG: "release", WHY_TAG: "era 0640 is out", PLANNED_TAG: "yes", ROUND_TAG: "326"}
    assert expected.items() <= run.tags.items()
    assert int(run.tags["dagster/max_runtime"]) > 0
    assert run == RunOf(None, run.tags, None)
    assert ROUND_TAG not in run_of(Step("release", (), "why")).tags


@pytest.mark.parametrize("job", ["eras", "blocks"])
def test_one_era_is_a_partition_and_several_are_a_range(job: str) -> None:
    one, several = (run_of(Step(job, ("0600", last), "why")) for last in ("0600", "0620"))

    assert one.partition_key == era_partition(600)
    assert several.partition_key is None
    assert several.tags["dagster/asset_partition_range_start"] == era_partition(600)
    assert several.tags["dagster/asset_partition_range_end"] == era_partition(620)


@pytest.mark.parametrize(("job", "key", "definition"), [("round", "326", "rounds"), ("vintage", "0638", "vintages")])
def test_rounds_and_vintages_add_their_partition(job: str, key: str, definition: str) -> None:
    run = run_of(Step(job, (key,), "why"))

    assert (run.partition_key, run.adds_partition, run.assets) == (key, (definition, key), None)


def test_of_a_vintage_only_the_methods_that_lack_it_are_run() -> None:
    run = run_of(Step("vintage", ("0638",), "why", lacking=Lacking(methods=("benchmark",))))

    assert run.assets == (model_key("benchmark"), out_of_sample_key("benchmark"))


def test_there_is_a_job_for_every_kind_of_step_that_has_assets() -> None:
    settings = Settings(methods={"benchmark": MethodSettings()}, slots={"one": "benchmark"})

    jobs = {job.name: job.description for job in build_jobs(settings)}

    assert jobs.keys() == {
        "release",
        "yardsticks",
        "eras",
        "vintage",
        "out_of_sample",
        "diagnostics",
        "explanations",
        "round",
        "performance",
    }
    assert all(jobs.values())
