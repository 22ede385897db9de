"""Background jobs run one after another and survive errors."""

import logging

import pytest

from numerai_assets.sandbox.tournament.background import Background, internal_error


def test_jobs_run_in_order_and_an_error_does_not_stop_the_next(caplog: pytest.LogCaptureFixture) -> None:
    background, done = Background("test jobs"), []

    def fail() -> None:
        raise RuntimeError("broken")

    with caplog.at_level(logging.ERROR):
        background.do(lambda: done.append(1))
        background.do(fail)
        background.do(lambda: done.append(2))
        background.wait()
    assert done == [1, 2]
    assert "a job of test jobs failed" in caplog.text


def test_an_internal_error_names_its_kind_and_nothing_else() -> None:
    assert internal_error(KeyError("secret")) == "Internal error of the sandbox: KeyError; see its log"
