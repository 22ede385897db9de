"""Every fault by name: its effect, where it can occur, its parameters, and its rate in a bad year.

Sources: observed behaviour of Numerai's API and of numerapi: 5xx and outages, downloads that resume on other bytes, a PUT
whose status numerapi does not check, rounds that open when their data is ready.
"""

import difflib
import fnmatch
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.published.encoder import ALIAS, ALIAS_OF, TARGETS


class RequestKind(StrEnum):
    """Kind of a request. A selector is a kind, or "<kind>:<pattern>" over the names of that kind."""

    CLOCK = "clock"
    """HEAD or GET of the root, whose Date header is the sandbox's time. No names."""
    GRAPHQL = "graphql"
    """POST of the root. Named by the first requested field, e.g. "graphql:create_submission"."""
    FILE = "file"
    """A file of a release, e.g. "file:v5.3/live.parquet"."""
    UPLOAD = "upload"
    """A PUT, named by the file name that the server issued."""
    DOWNLOAD = "download"
    """Any other GET: a submission read back, named by its path."""


class Scope(StrEnum):
    """Where a fault occurs."""

    REQUEST = "request"
    ROUND = "round"
    RELEASE = "release"


RowsFile = Literal["live.parquet", "validation.parquet", "train.parquet"]


class Parameters(BaseModel):
    """Base of all parameters; of a fault without parameters itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Refusal(Parameters):
    """An answer that replaces the real one. requests: how many in a row are refused."""

    status: int = Field(502, ge=500, le=599)
    requests: int = Field(3, ge=1, le=1000)


class RateLimit(Parameters):
    """requests: how many in a row are refused; retry_after_seconds: real seconds, in the Retry-After header."""

    retry_after_seconds: int = Field(1, ge=0, le=3600)
    requests: int = Field(1, ge=1, le=1000)


class Delay(Parameters):
    """seconds: real time."""

    seconds: float = Field(2.0, gt=0, le=600)


class Stall(Parameters):
    """after_bytes: bytes of the body that are sent; then silence, for at most `seconds` of real time."""

    after_bytes: int = Field(16, ge=0)
    seconds: float = Field(30.0, gt=0, le=600)


class Corruption(Parameters):
    """flipped_bytes: how many bytes differ; has_new_etag: False if the ETag stays that of the right file."""

    flipped_bytes: int = Field(3, ge=1, le=10_000)
    has_new_etag: bool = False


class Truncation(Parameters):
    """kept: share of the file's bytes; has_new_etag: False if the ETag stays that of the right file."""

    kept: float = Field(0.5, ge=0, lt=1)
    has_new_etag: bool = True


class Replacement(Parameters):
    """times: how often the file was replaced under the plan. Counted by the engine, not given."""

    times: int = Field(ge=1)


class Processing(Parameters):
    """minutes: of the sandbox's time, after the registration."""

    minutes: Annotated[float, Field(ge=0, le=1_000_000)] | Literal["never"] = 30.0


class LateOpening(Parameters):
    """minutes: of the sandbox's time after 12:00 UTC. At most 20 hours, so that the next round still follows."""

    minutes: float = Field(30.0, gt=0, le=1200)


class EarlyClose(Parameters):
    """minutes: of the sandbox's time before the scheduled close; no round closes before 13:00 UTC."""

    minutes: float = Field(60.0, gt=0, le=10_000)


class ReleaseFault(Parameters):
    """releases: how many in a row have the fault. minutes: of the sandbox's time until the right files are back."""

    releases: int = Field(1, ge=1, le=100_000)
    minutes: Annotated[float, Field(gt=0)] | Literal["never"] = "never"


class FeatureChanges(ReleaseFault):
    """Number of features, drawn by the seed, to add, remove and rename; in_parquet: in the data files too."""

    added: int = Field(1, ge=0, le=10_000)
    removed: int = Field(1, ge=0, le=10_000)
    renamed: int = Field(1, ge=0, le=10_000)
    in_parquet: bool = True


class AliasSwitch(ReleaseFault):
    """to: full name of the target whose values the column `target` gets."""

    to: str = "target_ender_20"

    @field_validator("to")
    @classmethod
    def _is_a_target(cls, to: str) -> str:
        if to == ALIAS or to not in TARGETS:
            raise ValueError(f"expected the full name of a target, such as {ALIAS_OF}")
        return to


class UniverseCut(Parameters):
    """share: of the live rows that are missing, about. A published universe stays as it is, even when faults are cleared."""

    share: float = Field(0.1, gt=0, le=0.9)


class MissingRows(ReleaseFault):
    """share: of the live rows that are missing, about."""

    share: float = Field(0.1, gt=0, le=1)


class FeatureNans(ReleaseFault):
    """file: the Parquet file; columns: how many features, drawn by the seed; share: of their rows, about."""

    file: RowsFile = "live.parquet"
    columns: int = Field(3, ge=1, le=10_000)
    share: float = Field(0.05, gt=0, le=1)


class ConstantFeatures(ReleaseFault):
    """file: the Parquet file; columns: how many features, drawn by the seed; value: that of all their rows."""

    file: RowsFile = "live.parquet"
    columns: int = Field(1, ge=1, le=10_000)
    value: int = Field(2, ge=0, le=4)


class MissingEra(ReleaseFault):
    """eras_back: the era that validation.parquet lacks, counted back from the newest."""

    eras_back: int = Field(20, ge=0, le=10_000)


@dataclass(frozen=True)
class Fault:
    """One fault.

    on: selectors of the requests in which it can occur, none for rounds and releases. bad_year: estimated probability
    per request, round or release in a bad year. from_byte: only Range requests that begin there or later.
    """

    name: str
    does: str
    bad_year: float
    on: tuple[str, ...] = ()
    scope: Scope = Scope.REQUEST
    parameters: type[Parameters] = Parameters
    from_byte: int | None = None


ANY = tuple(RequestKind)
_FILES, _PUTS = (RequestKind.FILE,), (RequestKind.UPLOAD,)
_REGISTRATION = (f"{RequestKind.GRAPHQL}:create_submission",)

SERVER_ERROR = Fault(
    "server-error", "a burst of 5xx answers; the requests have no effect", 0.01, ANY, parameters=Refusal
)
RATE_LIMIT = Fault("rate-limit", "429 with Retry-After; the request has no effect", 0.005, ANY, parameters=RateLimit)
DROP = Fault("drop", "connection closed before the first byte; the request has no effect", 0.005, ANY)
SLOW = Fault("slow", "the answer is delayed", 0.05, ANY, parameters=Delay)
STALL = Fault("stall", "headers and some bytes, then silence; the request has its effect", 0.003, ANY, parameters=Stall)
RESET = Fault("reset", "connection reset during the answer; the request has its effect", 0.01, ANY)

RANGE_IGNORED = Fault("range-ignored", "a Range request answered 200 with the whole file", 0.02, _FILES, from_byte=0)
REPLACED_FILE = Fault(
    "replaced-file", "the file was replaced, with a new ETag, when a download resumes", 0.01, _FILES, from_byte=1
)
CORRUPT_FILE = Fault("corrupt-file", "some bytes differ, the length is right", 0.002, _FILES, parameters=Corruption)
TRUNCATED_FILE = Fault(
    "truncated-file", "a shorter file whose Content-Length looks whole", 0.002, _FILES, parameters=Truncation
)
EXPIRED_URL = Fault(
    "expired-url", "403 as XML: the signed URL has expired", 0.01, (RequestKind.FILE, RequestKind.DOWNLOAD)
)

UPLOAD_FORBIDDEN = Fault("upload-forbidden", "PUT answered 403; nothing is stored", 0.01, _PUTS)
UPLOAD_ERROR = Fault("upload-error", "PUT answered 500; nothing is stored", 0.01, _PUTS)
UPLOAD_LOST = Fault("upload-lost", "PUT answered 200; nothing is stored", 0.005, _PUTS)
UPLOAD_ALTERED = Fault("upload-altered", "PUT answered 200; other bytes are stored", 0.002, _PUTS)
REGISTERED_WITH_ERROR = Fault("registered-with-error", "the submission is made, the answer is 502", 0.01, _REGISTRATION)
REGISTERED_TWICE = Fault(
    "registered-twice", "two submissions are made, the answer has the id of the first", 0.005, _REGISTRATION
)
PROCESSING = Fault(
    "processing",
    'the submission stays "processing", not selected, for some time',
    0.02,
    _REGISTRATION,
    parameters=Processing,
)

LATE_OPENING = Fault(
    "late-opening",
    "the round opens late, with the old files until then",
    0.1,
    scope=Scope.ROUND,
    parameters=LateOpening,
)
EARLY_CLOSE = Fault(
    "early-close",
    "the round closes early without notice, never before 13:00 UTC",
    0.02,
    scope=Scope.ROUND,
    parameters=EarlyClose,
)

FEATURES_CHANGED = Fault(
    "features-changed", "features added, removed, renamed", 0.005, scope=Scope.RELEASE, parameters=FeatureChanges
)
ALIAS_SWITCHED = Fault(
    "alias-switched", "the column `target` is another target", 0.002, scope=Scope.RELEASE, parameters=AliasSwitch
)
UNIVERSE_CUT = Fault(
    "universe-cut", "fewer live ids are published, and accepted", 0.01, scope=Scope.RELEASE, parameters=UniverseCut
)
LIVE_ROWS_MISSING = Fault(
    "live-rows-missing",
    "live.parquet lacks rows that a submission needs",
    0.005,
    scope=Scope.RELEASE,
    parameters=MissingRows,
)
NAN_FEATURES = Fault("nan-features", "NaN in features", 0.005, scope=Scope.RELEASE, parameters=FeatureNans)
CONSTANT_FEATURES = Fault(
    "constant-features", "features with one value in all rows", 0.01, scope=Scope.RELEASE, parameters=ConstantFeatures
)
MISSING_ERA = Fault("missing-era", "validation.parquet lacks an era", 0.002, scope=Scope.RELEASE, parameters=MissingEra)

# Of two faults that could occur in one request, the first in this list does.
FAULTS: dict[str, Fault] = {
    fault.name: fault
    for fault in (
        SERVER_ERROR,
        RATE_LIMIT,
        DROP,
        SLOW,
        STALL,
        RESET,
        RANGE_IGNORED,
        REPLACED_FILE,
        CORRUPT_FILE,
        TRUNCATED_FILE,
        EXPIRED_URL,
        UPLOAD_FORBIDDEN,
        UPLOAD_ERROR,
        UPLOAD_LOST,
        UPLOAD_ALTERED,
        REGISTERED_WITH_ERROR,
        REGISTERED_TWICE,
        PROCESSING,
        LATE_OPENING,
        EARLY_CLOSE,
        FEATURES_CHANGED,
        ALIAS_SWITCHED,
        UNIVERSE_CUT,
        LIVE_ROWS_MISSING,
        NAN_FEATURES,
        CONSTANT_FEATURES,
        MISSING_ERA,
    )
}


@dataclass(frozen=True)
class IncomingRequest:
    """A request as faults see it. range_start: first byte of a Range request, else None."""

    kind: RequestKind
    name: str = ""
    range_start: int | None = None

    @property
    def sort(self) -> str:
        """Requests are counted by sort: each GraphQL field and each file is one; uploads and downloads are one each."""
        return f"{self.kind}:{self.name}" if self.kind in (RequestKind.GRAPHQL, RequestKind.FILE) else str(self.kind)

    def fits(self, selector: str) -> bool:
        """True if the selector matches this request."""
        kind, _, pattern = selector.partition(":")
        return kind == self.kind and (not pattern or fnmatch.fnmatchcase(self.name, pattern))

    def can_meet(self, fault: Fault) -> bool:
        """True if the fault can occur in this request."""
        if fault.from_byte is not None and (self.range_start is None or self.range_start < fault.from_byte):
            return False
        return any(self.fits(selector) for selector in fault.on)


def fault_named(name: str) -> Fault:
    """The fault of a name. Raises SandboxError, with the nearest name, when there is none."""
    if name not in FAULTS:
        near = difflib.get_close_matches(name, FAULTS, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ";"
        raise SandboxError(f"fault {name!r} is unknown{hint} `numerai sandbox faults list` lists them all")
    return FAULTS[name]
