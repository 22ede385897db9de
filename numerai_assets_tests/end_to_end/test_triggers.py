"""Schedule and sensor: what they ask Dagster to run, and why they do not."""

import datetime as dt
from pathlib import Path

import dagster as dg
from time_machine import TimeMachineFixture

from numerai_assets.automation.conductor import execute
from numerai_assets.automation.jobs import PLANNED_TAG, STEP_TAG
from numerai_assets.automation.triggers import next_run
from numerai_assets.pipeline.plan import Step
from numerai_assets.sandbox.server import process
from numerai_assets_tests.end_to_end.rehearsal import NewRehearsal, Rehearsal


def asked(rehearsal: Rehearsal, *, weekend: bool | None = None) -> dg.RunRequest | str:
    """The run asked for, or the reason why there is none."""
    found = next_run(rehearsal.instance, rehearsal.workspace, weekend=weekend)
    return found.skip_message or "" if isinstance(found, dg.SkipReason) else found


def test_a_new_workspace_begins_with_the_release(new_rehearsal: NewRehearsal) -> None:
    request = asked(new_rehearsal(), weekend=True)
    assert isinstance(request, dg.RunRequest)
    assert request.job_name == "release"
    assert request.partition_key is None


def test_nothing_is_asked_for_when_everything_is_done(rehearsal: Rehearsal) -> None:
    assert asked(rehearsal) == "round 326: everything is done"


def test_a_weekday_round_is_refreshed_by_the_sensor_and_left_alone_by_the_schedule(rehearsal: Rehearsal) -> None:
    rehearsal.advance()
    request = asked(rehearsal)
    assert isinstance(request, dg.RunRequest)
    assert (request.job_name, request.partition_key) == ("round", "327")
    assert rehearsal.instance.has_dynamic_partition("rounds", "327")
    assert asked(rehearsal, weekend=True) == "round 327 is not a weekend round"


def test_between_rounds_nothing_is_asked_for(rehearsal: Rehearsal) -> None:
    rehearsal.advance("+2d")
    assert asked(rehearsal) == "no round is open"


def test_an_outage_is_a_reason_to_wait_not_a_failure(rehearsal: Rehearsal) -> None:
    process.stop(rehearsal.world)
    assert "no answer from" in str(asked(rehearsal))


def fail(rehearsal: Rehearsal, request: dg.RunRequest, times: int) -> None:
    for _ in range(times):
        failed = dg.DagsterRun(job_name=request.job_name or "", tags=request.tags, status=dg.DagsterRunStatus.FAILURE)
        rehearsal.instance.add_run(failed)


def test_a_submission_that_failed_is_tried_again_ever_less_often(
    rehearsal: Rehearsal, time_machine: TimeMachineFixture
) -> None:
    rehearsal.advance()
    request = asked(rehearsal)
    assert isinstance(request, dg.RunRequest)
    fail(rehearsal, request, times=4)
    meanwhile = asked(rehearsal)
    assert isinstance(meanwhile, dg.RunRequest)
    assert meanwhile.job_name == "performance"
    fail(rehearsal, meanwhile, times=3)
    assert str(asked(rehearsal)).startswith("round/327 failed 4 times; next try in ")
    time_machine.move_to(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=481))
    assert asked(rehearsal) == request


def test_validation_that_keeps_failing_is_left_to_a_person(rehearsal: Rehearsal) -> None:
    rehearsal.workspace.diagnostics_path("benchmark").unlink()
    request = asked(rehearsal)
    assert isinstance(request, dg.RunRequest)
    fail(rehearsal, request, times=3)
    assert asked(rehearsal) == "diagnostics failed 3 times in round 326; fix the cause and run it by hand"


def test_a_submission_does_not_wait_for_a_fit(rehearsal: Rehearsal) -> None:
    rehearsal.advance()
    fit = dg.DagsterRun(
        job_name="vintage",
        tags={PLANNED_TAG: "yes", STEP_TAG: "vintage/0574"},
        status=dg.DagsterRunStatus.STARTED,
    )
    rehearsal.instance.add_run(fit)
    request = asked(rehearsal)
    assert isinstance(request, dg.RunRequest)
    assert request.job_name == "round"


def test_one_run_at_a_time(rehearsal: Rehearsal) -> None:
    rehearsal.advance()
    request = asked(rehearsal)
    assert isinstance(request, dg.RunRequest)
    assert request.tags[STEP_TAG] == "round/327"
    going = dg.DagsterRun(job_name="round", tags=request.tags, status=dg.DagsterRunStatus.STARTED)
    rehearsal.instance.add_run(going)
    assert asked(rehearsal) == f"run {going.run_id[:8]} (round/327) is still going"


def test_sensor_and_schedule_are_off_until_switched_on(rehearsal: Rehearsal) -> None:
    repository = rehearsal.definitions.get_repository_def()
    assert repository.get_sensor_def("round").default_status == dg.DefaultSensorStatus.STOPPED
    assert repository.get_schedule_def("weekly").default_status == dg.DefaultScheduleStatus.STOPPED


def test_the_schedule_begins_the_weekend_with_the_release_and_leaves_the_rest_to_the_sensor(
    rehearsal: Rehearsal, tmp_path: Path
) -> None:
    (tmp_path / "dagster").mkdir()
    instance = dg.DagsterInstance.local_temp(str(tmp_path / "dagster"))
    repository = rehearsal.definitions.get_repository_def()
    weekly = repository.get_schedule_def("weekly")

    def tick() -> dg.RunRequest | dg.SkipReason:
        with dg.build_schedule_context(
            instance=instance, resources={"workspace": rehearsal.workspace}, repository_def=repository
        ) as context:
            return weekly(context)

    done = tick()
    assert isinstance(done, dg.SkipReason)
    assert done.skip_message == "round 326: everything is done"
    rehearsal.to_next_weekend()
    request = tick()
    assert isinstance(request, dg.RunRequest)
    assert request.tags[STEP_TAG] == "release"
    execute(rehearsal.definitions, instance, Step("release", (), "test"))
    assert isinstance(left := tick(), dg.SkipReason)
    assert left.skip_message == "eras is next: the round sensor runs it"
