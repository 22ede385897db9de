"""Every public method of the unmodified numerapi is answered, or refused in words, or out of scope for a reason."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numerapi
import pytest

from numerai_assets.sandbox.calendar.rounds import round_by_number
from numerai_assets_tests.sandbox.scoring.test_diagnostics import validation_file
from numerai_assets_tests.sandbox.serving import FIRST_ROUND, Served

NO_STAKING_V2 = "Legacy staking is disabled for this tournament"
NO_STAKING_V3 = "needs Numerai's signer and a chain"


class Caller:
    """A client, and what a call needs to be made with."""

    def __init__(self, sandbox: Served, folder: Path) -> None:
        self.sandbox = sandbox
        self.api = sandbox.client()
        self.folder = folder
        self.model: str = self.api.get_models()["sandbox_one"]

    def file(self, name: str, content: bytes = b"") -> str:
        (self.folder / name).write_bytes(content)
        return str(self.folder / name)


ANSWERED: dict[str, Callable[[Caller], Any]] = {
    "check_new_round": lambda c: c.api.check_new_round(),
    "check_round_open": lambda c: c.api.check_round_open(),
    "daily_model_performances": lambda c: c.api.daily_model_performances("sandbox_one"),
    "diagnostics": lambda c: c.api.diagnostics(c.model),
    "download_dataset": lambda c: c.api.download_dataset("v5.3/features.json", c.file("features.json")),
    "download_submission": lambda c: c.api.download_submission(model_id=c.model, dest_path=c.file("s.csv")),
    "get_account": lambda c: c.api.get_account()["username"],
    "get_account_leaderboard": lambda c: c.api.get_account_leaderboard()[0]["rank"],
    "get_competitions": lambda c: c.api.get_competitions()[0]["number"],
    "get_current_round": lambda c: c.api.get_current_round(),
    "get_leaderboard": lambda c: c.api.get_leaderboard()[0]["rank"],
    "get_models": lambda c: c.api.get_models()["sandbox_one"],
    "get_submission_filenames": lambda c: c.api.get_submission_filenames(model_id=c.model)[0]["filename"],
    "intra_round_scores": lambda c: c.api.intra_round_scores(c.model)[0]["roundNumber"],
    "list_datasets": lambda c: c.api.list_datasets()[0],
    "list_rounds": lambda c: c.api.list_rounds(number=FIRST_ROUND)[0]["number"],
    "model_upload": lambda c: c.api.model_upload(c.file("m.pkl", b"x"), model_id=c.model),
    "model_upload_data_versions": lambda c: c.api.model_upload_data_versions()["v5.3"],
    "model_upload_docker_images": lambda c: next(iter(c.api.model_upload_docker_images())),
    "modelid_to_modelname": lambda c: c.api.modelid_to_modelname(c.model),
    "models_of_account": lambda c: c.api.models_of_account("sandbox")["sandbox_one"],
    "pending_model_payouts": lambda c: c.api.pending_model_payouts()["pending"],
    "pipeline_status": lambda c: c.api.pipeline_status("2015-01-02")["tournament"],
    "public_user_profile": lambda c: c.api.public_user_profile("sandbox_one")["id"],
    "raw_query": lambda c: c.api.raw_query("{ listDatasets }")["data"],
    "round_model_performances": lambda c: c.api.round_model_performances(c.model)[0]["roundNumber"],
    "round_model_performances_v2": lambda c: c.api.round_model_performances_v2(c.model)[0]["roundNumber"],
    "set_bio": lambda c: c.api.set_bio(c.model, "a rehearsal"),
    "set_link": lambda c: c.api.set_link(c.model, "more", "https://example.com"),
    "set_submission_webhook": lambda c: c.api.set_submission_webhook(c.model),
    "stake_get": lambda c: c.api.stake_get("sandbox_one"),
    "submission_ids": lambda c: c.api.submission_ids(c.model)[0]["id"],
    "submission_scores": lambda c: c.api.submission_scores(c.model),
    "upload_diagnostics": lambda c: c.api.upload_diagnostics(
        df=validation_file(c.sandbox.tournament.world, range(600, 602)), model_id=c.model
    ),
    "upload_predictions": lambda c: c.api.upload_predictions(df=c.sandbox.predictions(), model_id=c.model),
    "wallet_transactions": lambda c: c.api.wallet_transactions(),
}
"""Called as a participant would, in any order: each must return without an error."""

EMPTY = {
    "check_new_round": "the sandbox's clock is not the client's",
    "check_round_open": "the sandbox's clock is not the client's",
    "stake_get": "no stake is None",
    "wallet_transactions": "there is no wallet",
}
"""Answers that may be false or empty, and why."""

REFUSED: dict[str, tuple[Callable[[Caller], Any], str]] = {
    "stake_change": (lambda c: c.api.stake_change(1, "increase", c.model), NO_STAKING_V2),
    "stake_increase": (lambda c: c.api.stake_increase(1, c.model), NO_STAKING_V2),
    "stake_decrease": (lambda c: c.api.stake_decrease(1, c.model), NO_STAKING_V2),
    "stake_set": (lambda c: c.api.stake_set(1, c.model), NO_STAKING_V2),
    # The client declares a variable of type bool, which GraphQL does not know.
    "stake_drain": (lambda c: c.api.stake_drain(c.model), "Unknown type 'bool'"),
    "v3_stake_auth": (lambda c: c.api.v3_stake_auth("s", "0x0", 1), NO_STAKING_V3),
    "v3_stake_config": (lambda c: c.api.v3_stake_config(), NO_STAKING_V3),
    "v3_stake_round": (lambda c: c.api.v3_stake_round(FIRST_ROUND), NO_STAKING_V3),
    "v3_stake_claim": (lambda c: c.api.v3_stake_claim(FIRST_ROUND, c.model, "0x0"), NO_STAKING_V3),
}
"""Answered with an error that says why: staking v2 has ended, and v3 happens on a chain that the sandbox has not."""

OUT_OF_SCOPE = {"set_global_data_dir": "sets a folder of the client and asks nothing of a server"}


@pytest.fixture(scope="module")
def caller(sandbox: Served, tmp_path_factory: pytest.TempPathFactory) -> Caller:
    """A client whose first model has a score, a submission to the open round and a diagnosed validation file."""
    found = Caller(sandbox, tmp_path_factory.mktemp("whole-api"))
    found.api.upload_predictions(df=sandbox.predictions(), model_id=found.model)
    sandbox.advance(round_by_number(FIRST_ROUND + 4).opens.isoformat())
    found.api.upload_predictions(df=sandbox.predictions(), model_id=found.model)
    frame = validation_file(sandbox.tournament.world, range(600, 602))
    found.api.upload_diagnostics(df=frame, model_id=found.model)
    sandbox.tournament.diagnostics.wait()
    return found


def test_every_public_method_of_the_client_has_its_place() -> None:
    methods = {
        name for name, _ in inspect.getmembers(numerapi.NumerAPI, inspect.isfunction) if not name.startswith("_")
    }
    placed = [*ANSWERED, *REFUSED, *OUT_OF_SCOPE]
    assert sorted(placed) == sorted(methods)


@pytest.mark.filterwarnings("ignore:.*round_model_performances_v2:DeprecationWarning")
@pytest.mark.parametrize("method", ANSWERED)
def test_the_method_is_answered(caller: Caller, method: str) -> None:
    answer = ANSWERED[method](caller)
    assert answer or method in EMPTY


@pytest.mark.parametrize("method", REFUSED)
def test_the_method_is_refused_in_clear_words(caller: Caller, method: str) -> None:
    call, message = REFUSED[method]
    with pytest.raises(ValueError, match=message):
        call(caller)
