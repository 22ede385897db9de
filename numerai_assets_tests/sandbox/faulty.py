"""Faults put into a served sandbox, and its files under faults."""

import hashlib
import io
from typing import Any

import pandas as pd
import requests

from numerai_assets_tests.sandbox.serving import Served


def plan(sandbox: Served, **content: Any) -> None:
    answer = requests.put(f"{sandbox.url}/sandbox/faults", json=content, timeout=60)
    assert answer.ok, answer.text


def event(sandbox: Served, fault: str, request: str | None = None, count: int = 1, **parameters: Any) -> None:
    """Makes a fault occur in the next `count` requests in which it can."""
    at = {} if request is None else {"request": request}
    plan(sandbox, events=[{"fault": fault, "at": at, "count": count, "parameters": parameters}])


def log(sandbox: Served) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = requests.get(f"{sandbox.url}/sandbox/faults/log", timeout=60).json()["log"]
    return found


def live_url(sandbox: Served) -> str:
    """A signed address of live.parquet, requested without faults."""
    requests.delete(f"{sandbox.url}/sandbox/faults", timeout=60)
    return url_of(sandbox, "live.parquet")


def url_of(sandbox: Served, name: str) -> str:
    query = f'query {{ dataset(filename: "v5.3/{name}") }}'
    url: str = requests.post(sandbox.url, json={"query": query}, timeout=60).json()["data"]["dataset"]
    return url


def fetched(sandbox: Served, name: str) -> bytes:
    """A file that is all that its headers say."""
    url = url_of(sandbox, name)
    answer = requests.get(url, timeout=60)
    assert answer.status_code == 200, answer.text
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    assert answer.headers["ETag"] == f'"{hashlib.sha256(answer.content).hexdigest()}"'
    head = requests.head(url, timeout=60)
    assert (head.headers["ETag"], head.headers["Content-Length"]) == (answer.headers["ETag"], str(len(answer.content)))
    return answer.content


def frame(sandbox: Served, name: str) -> pd.DataFrame:
    content = io.BytesIO(fetched(sandbox, name))
    return pd.read_csv(content).set_index("id") if name.endswith(".csv") else pd.read_parquet(content)
