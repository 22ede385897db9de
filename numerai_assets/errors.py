"""Every error a user can cause or meet, in one small tree.

Each message says what happened, where, what was expected and found, and what to do.
The command line prints the message alone: a user never sees a traceback for one of these.
"""


class NumeraiAssetsError(Exception):
    """Root of all errors this project raises on purpose."""


class SettingsError(NumeraiAssetsError):
    """A setting is unknown, missing or has a value that cannot be used."""


class CalendarError(NumeraiAssetsError):
    """An era, date or horizon lies outside the calendar."""


class WallError(NumeraiAssetsError):
    """A computation would have used data that was not known at its vintage."""


class StoreError(NumeraiAssetsError):
    """A file of the store is absent, damaged or differs from its record."""


class ReleaseError(NumeraiAssetsError):
    """A release file violates Numerai's data contract."""


class DownloadError(NumeraiAssetsError):
    """A file could not be downloaded completely."""


class TournamentError(NumeraiAssetsError):
    """The tournament refused a request or could not be reached. `code`: the server's own, where it gives one."""

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code


class Unreachable(TournamentError):
    """No usable answer came; unlike a refusal, a retry may succeed. `retry_after`: seconds the server asks to wait."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class AuthenticationError(TournamentError):
    """API keys are missing or refused."""


class RoundClosedError(TournamentError):
    """No round accepts submissions now."""


class SubmissionError(NumeraiAssetsError):
    """A submission is invalid or could not be proven."""


class StaleLiveError(SubmissionError):
    """The server expects other ids than those of the live file on disk."""


class MethodError(NumeraiAssetsError):
    """A method was given input that it cannot fit or predict."""


class ComputeError(MethodError):
    """What a fit runs on is not available: a cluster that does not answer, a disk without room. Worth another try."""


class FeatureError(NumeraiAssetsError):
    """A feature block cannot be computed as requested."""


class ScoringError(NumeraiAssetsError):
    """Predictions cannot be scored or neutralised as given."""


class SplitError(NumeraiAssetsError):
    """Eras cannot be split into training and validation eras as requested."""


class SandboxError(NumeraiAssetsError):
    """The local tournament cannot do what was requested."""
