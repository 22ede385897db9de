"""One line on why a step of the plan failed, whatever failed in it."""

from collections.abc import Callable

import dagster as dg
import pytest

from numerai_assets.automation.conductor import RunFailed, execute
from numerai_assets.errors import MethodError, StoreError
from numerai_assets.pipeline.plan import Step
from numerai_assets.tournament.download import Interrupted

STEP = Step("release", (), "test")
Execute = Callable[[dg.Definitions], str]


@pytest.fixture(scope="module")
def run() -> Execute:
    instance = dg.DagsterInstance.ephemeral()
    return lambda definitions: execute(definitions, instance, STEP)


def raising(error: BaseException, cause: BaseException | None = None) -> dg.Definitions:
    """A job of two assets, of which the first raises."""

    @dg.asset
    def failing() -> None:
        raise error from cause

    @dg.asset(deps=[failing])
    def after() -> None:
        raise AssertionError("runs after a failure")

    return dg.Definitions([failing, after], jobs=[dg.define_asset_job("release", "*")])


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (StoreError("era 0612: the file was cut short"), "era 0612: the file was cut short"),
        # Kinds that are not in `numerai_assets.errors`.
        (Interrupted("train.parquet: 3 bytes came"), "train.parquet: 3 bytes came"),
        (dg.Failure("the check failed"), "the check failed"),
        (
            OSError(28, "No space left on device"),
            "OSError: [Errno 28] No space left on device. Finished files are intact. Fix the cause and run again",
        ),
    ],
)
def test_an_error_is_reported_as_its_own_message(run: Execute, error: Exception, message: str) -> None:
    with pytest.raises(RunFailed) as failed:
        run(raising(error))

    assert str(failed.value) == message


def test_an_error_of_this_program_is_named_with_its_run(run: Execute) -> None:
    with pytest.raises(
        RunFailed, match=r"^ValueError: one \(an error of this program; the traceback is in run [-\w]+ in"
    ):
        run(raising(ValueError("one\ntwo")))


def test_the_cause_of_an_error_is_what_is_reported(run: Execute) -> None:
    with pytest.raises(RunFailed, match=r"^not enough eras$"):
        run(raising(RuntimeError("a wrapper"), MethodError("not enough eras")))


def test_a_blocking_check_that_fails_is_reported_with_its_metadata(run: Execute) -> None:
    @dg.asset(check_specs=[dg.AssetCheckSpec("whole", asset="checked", blocking=True)])
    def checked() -> dg.MaterializeResult:
        failed = dg.AssetCheckResult(passed=False, check_name="whole", metadata={"lost": 3})
        return dg.MaterializeResult(check_results=[failed])

    with pytest.raises(RunFailed, match=r"^whole of checked does not hold: lost=3$"):
        run(dg.Definitions([checked], jobs=[dg.define_asset_job("release", "*")]))


def test_a_step_that_succeeds_returns_the_id_of_its_run(run: Execute) -> None:
    @dg.asset
    def fine() -> None: ...

    assert run(dg.Definitions([fine], jobs=[dg.define_asset_job("release", "*")]))
