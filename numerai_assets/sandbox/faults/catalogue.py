"""Every fault by name: what it does, where it can come, its parameters, and how often it comes in a bad year.

Sources: the behaviour of the outside and of its client as the project's notes on the API record it: 5xx and outages,
downloads that resume on other bytes, a PUT whose status nobody reads, rounds that open when the data has come.
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
    """What a request is for. A selector is a kind, or "<kind>:<pattern>" over the kind's names."""

    CLOCK = "clock"
    """HEAD or GET of the root, whose Date header tells the time. No names."""
    GRAPHQL = "graphql"
    """POST of the root. Named by the first field asked for, e.g. "graphql:create_submission"."""
    FILE = "file"
    """A file of a release, e.g. "file:v5.3/live.parquet"."""
    UPLOAD = "upload"
    """A PUT, by the file name that was handed out."""
    DOWNLOAD = "download"
    """Any other GET: a submission read back, by its path."""


class Scope(StrEnum):
    """What a fault's die is rolled for."""

    REQUEST = "request"
    ROUND = "round"
    RELEASE = "release"


RowsFile = Literal["live.parquet", "validation.parquet", "train.parquet"]


class Parameters(BaseModel):
    """Parameters of a fault that has none, and root of those of the others."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Refusal(Parameters):
    """An answer in place of the real one. requests: how many in a row a hit refuses."""

    status: int = Field(502, ge=500, le=599)
    requests: int = Field(3, ge=1, le=1000)


class RateLimit(Parameters):
    """requests: how many in a row a hit refuses; retry_after_seconds: real seconds, in the Retry-After header."""

    retry_after_seconds: int = Field(1, ge=0, le=3600)
    requests: int = Field(1, ge=1, le=1000)


class Delay(Parameters):
    """seconds: real time."""

    seconds: float = Field(2.0, gt=0, le=600)


class Stall(Parameters):
    """after_bytes: of the body; then silence, for at most so many real seconds."""

    after_bytes: int = Field(16, ge=0)
    seconds: float = Field(30.0, gt=0, le=600)


class Corruption(Parameters):
    """flipped_bytes: how many differ; has_new_etag: False when the store does not notice."""

    flipped_bytes: int = Field(3, ge=1, le=10_000)
    has_new_etag: bool = False


class Truncation(Parameters):
    """kept: share of the file's bytes; has_new_etag: False when the store does not notice."""

    kept: float = Field(0.5, ge=0, lt=1)
    has_new_etag: bool = True


class Replacement(Parameters):
    """times: how often the file was replaced since the plan came in force. Counted, not given."""

    times: int = Field(ge=1)


class Processing(Parameters):
    """minutes: of the sandbox's time, from the registration on."""

    minutes: Annotated[float, Field(ge=0, le=1_000_000)] | Literal["never"] = 30.0


class LateOpening(Parameters):
    """minutes: of the sandbox's time after 12:00 UTC. At most 20 hours: the next round must still come after it."""

    minutes: float = Field(30.0, gt=0, le=1200)


class EarlyClose(Parameters):
    """minutes: of the sandbox's time before the scheduled close, cut so that nothing closes before 13:00 UTC."""

    minutes: float = Field(60.0, gt=0, le=10_000)


class ReleaseFault(Parameters):
    """releases: how many in a row have it. minutes: of the sandbox's time after which the right files are there again."""

    releases: int = Field(1, ge=1, le=100_000)
    minutes: Annotated[float, Field(gt=0)] | Literal["never"] = "never"


class FeatureChanges(ReleaseFault):
    """How many features, drawn by the seed, are added, removed and renamed; in_parquet: in the data files too."""

    added: int = Field(1, ge=0, le=10_000)
    removed: int = Field(1, ge=0, le=10_000)
    renamed: int = Field(1, ge=0, le=10_000)
    in_parquet: bool = True


class AliasSwitch(ReleaseFault):
    """to: full name of the target whose values the column `target` takes."""

    to: str = "target_ender_20"

    @field_validator("to")
    @classmethod
    def _is_a_target(cls, to: str) -> str:
        if to == ALIAS or to not in TARGETS:
            raise ValueError(f"expected the full name of a target, such as {ALIAS_OF}")
        return to


class UniverseCut(Parameters):
    """share: of the live rows that are gone, about. What was published once stays: it neither heals nor is cleared."""

    share: float = Field(0.1, gt=0, le=0.9)


class MissingRows(ReleaseFault):
    """share: of the live rows that are gone, about."""

    share: float = Field(0.1, gt=0, le=1)


class FeatureNans(ReleaseFault):
    """file: the Parquet file; columns: how many features, drawn by the seed; share: of their rows, about."""

    file: RowsFile = "live.parquet"
    columns: int = Field(3, ge=1, le=10_000)
    share: float = Field(0.05, gt=0, le=1)


class ConstantFeatures(ReleaseFault):
    """file: the Parquet file; columns: how many features, drawn by the seed; value: what all their rows hold."""

    file: RowsFile = "live.parquet"
    columns: int = Field(1, ge=1, le=10_000)
    value: int = Field(2, ge=0, le=4)


class MissingEra(ReleaseFault):
    """eras_back: which era validation.parquet lacks, counted back from its newest."""

    eras_back: int = Field(20, ge=0, le=10_000)


@dataclass(frozen=True)
class Fault:
    """One way to misbehave.

    on: selectors of the requests that it can strike, none for rounds and releases. bad_year: chance per such request,
    round or release that we think a bad year has. from_byte: strikes only a Range request that begins there or later.
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

SERVER_ERROR = Fault("server-error", "a burst of 5xx answers; nothing is done", 0.01, ANY, parameters=Refusal)
RATE_LIMIT = Fault("rate-limit", "429 with Retry-After; nothing is done", 0.005, ANY, parameters=RateLimit)
DROP = Fault("drop", "connection closed before any byte; nothing is done", 0.005, ANY)
SLOW = Fault("slow", "the answer comes late", 0.05, ANY, parameters=Delay)
STALL = Fault("stall", "headers and some bytes, then silence; what was asked is done", 0.003, ANY, parameters=Stall)
RESET = Fault("reset", "connection reset amid the answer; what was asked is done", 0.01, ANY)

RANGE_IGNORED = Fault("range-ignored", "a Range request answered 200 with the whole file", 0.02, _FILES, from_byte=0)
REPLACED_FILE = Fault(
    "replaced-file", "the file is another, with another ETag, when a download goes on", 0.01, _FILES, from_byte=1
)
CORRUPT_FILE = Fault("corrupt-file", "some bytes differ, the length is right", 0.002, _FILES, parameters=Corruption)
TRUNCATED_FILE = Fault(
    "truncated-file", "a shorter file whose Content-Length looks whole", 0.002, _FILES, parameters=Truncation
)
EXPIRED_URL = Fault(
    "expired-url", "403 as XML: the signed URL has ended", 0.01, (RequestKind.FILE, RequestKind.DOWNLOAD)
)

UPLOAD_FORBIDDEN = Fault("upload-forbidden", "PUT answered 403; nothing is stored", 0.01, _PUTS)
UPLOAD_ERROR = Fault("upload-error", "PUT answered 500; nothing is stored", 0.01, _PUTS)
UPLOAD_LOST = Fault("upload-lost", "PUT answered 200; nothing is stored", 0.005, _PUTS)
UPLOAD_ALTERED = Fault("upload-altered", "PUT answered 200; other bytes are stored", 0.002, _PUTS)
REGISTERED_WITH_ERROR = Fault("registered-with-error", "the submission is made, the answer is 502", 0.01, _REGISTRATION)
REGISTERED_TWICE = Fault(
    "registered-twice", "two submissions are made, the first one's id is told", 0.005, _REGISTRATION
)
PROCESSING = Fault(
    "processing",
    'the submission stays "processing", unselected, for a while',
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
    "early-close", "the round closes unannounced, never before 13:00", 0.02, scope=Scope.ROUND, parameters=EarlyClose
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

# Of two that could strike one request, the one named first does.
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
    """A request as a fault sees it. `range_start`: first byte of a Range request, None without one."""

    kind: RequestKind
    name: str = ""
    range_start: int | None = None

    @property
    def sort(self) -> str:
        """What it is counted under: a field of the API and a file each by itself; names of uploads are random."""
        return f"{self.kind}:{self.name}" if self.kind in (RequestKind.GRAPHQL, RequestKind.FILE) else str(self.kind)

    def fits(self, selector: str) -> bool:
        """True when the selector means this request."""
        kind, _, pattern = selector.partition(":")
        return kind == self.kind and (not pattern or fnmatch.fnmatchcase(self.name, pattern))

    def can_meet(self, fault: Fault) -> bool:
        """True when the fault may strike this request."""
        if fault.from_byte is not None and (self.range_start is None or self.range_start < fault.from_byte):
            return False
        return any(self.fits(selector) for selector in fault.on)


def fault_named(name: str) -> Fault:
    """The fault of a name. Raises SandboxError, with the nearest name, when there is none."""
    if name not in FAULTS:
        near = difflib.get_close_matches(name, FAULTS, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ";"
        raise SandboxError(f"fault {name!r} is unknown{hint} `numerai sandbox faults list` names them all")
    return FAULTS[name]
