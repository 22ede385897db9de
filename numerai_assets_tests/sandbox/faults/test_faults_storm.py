"""Everything at once: whatever befalls the clients, the sandbox itself stays whole and goes on."""

import contextlib
import logging
from pathlib import Path

import pytest
import requests

from numerai_assets.sandbox.faults.catalogue import FAULTS, Scope
from numerai_assets_tests.sandbox.faults.test_faults_submissions import submissions, submit
from numerai_assets_tests.sandbox.faulty import log, plan
from numerai_assets_tests.sandbox.serving import Served

SHORT = {
    "slow": {"seconds": 0.01},
    "stall": {"seconds": 0.02},
    "early-close": {"minutes": 1},
    "processing": {"minutes": 10},
}
# What a client of no skill meets: a broken answer, a refusal, a file that is none.
MET = (requests.RequestException, ValueError, KeyError, OSError)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_storm_of_all_faults_breaks_clients_but_never_the_sandbox(
    fresh_sandbox: Served,
    tmp_path: Path,
    seed: int,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("numerapi.utils.time.sleep", lambda seconds: None)
    rates = {
        name: {"rate": 0.1 if fault.scope is Scope.REQUEST else 0.4, "parameters": SHORT.get(name, {})}
        for name, fault in FAULTS.items()
    }
    plan(fresh_sandbox, seed=seed, rates=rates)
    client = fresh_sandbox.client()
    with caplog.at_level(logging.WARNING, logger="uvicorn.error"):
        for turn in range(12):
            for name in ("features.json", "live.parquet", "live_example_preds.csv"):
                target = tmp_path / f"{turn}-{name}"
                target.with_name(target.name + ".temp").write_bytes(b"PAR1")
                with contextlib.suppress(*MET):
                    client.download_dataset(f"v5.3/{name}", str(target))
            if fresh_sandbox.tournament.view.open_round is not None:
                with contextlib.suppress(*MET):
                    submit(fresh_sandbox, seed=turn)
            fresh_sandbox.advance("next-round")
        requests.delete(f"{fresh_sandbox.url}/sandbox/faults", timeout=60)
    assert [record.getMessage() for record in caplog.records if record.name == "uvicorn.error"] == []
    met = {entry["fault"] for entry in log(fresh_sandbox)}
    assert len(met) > len(FAULTS) / 2
    fresh_sandbox.advance("next-round")
    made = submit(fresh_sandbox)
    assert submissions(fresh_sandbox)[0] == (made, "on-time", True)
