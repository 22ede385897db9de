"""Rules for submitted files: those of numerai-tools, with its messages as SandboxErrors."""

import io

import pandas as pd
from numerai_tools.submissions import validate_submission_numerai

from numerai_assets.errors import SandboxError


def read_submission(content: bytes) -> pd.DataFrame:
    """The table in a submitted CSV. Raises SandboxError when it is not a CSV."""
    try:
        return pd.read_csv(io.BytesIO(content), dtype={"id": str})
    except (ValueError, pd.errors.ParserError) as error:
        raise SandboxError(f"invalid_submission_file: not a CSV file ({' '.join(str(error).split())})") from None


def validated(frame: pd.DataFrame, live: pd.DataFrame) -> pd.Series:
    """Predictions of the live ids among a submission's rows, index id.

    live: indexed by the required ids. Raises SandboxError when the submission breaks a rule.
    """
    try:
        id_column, prediction_column, matched, _ = validate_submission_numerai(
            pd.Series(live.index.astype(str), name="id"), frame
        )
    except AssertionError as error:
        raise SandboxError(str(error)) from None
    except TypeError:
        raise SandboxError("invalid_submission_values: values must be numbers") from None
    series: pd.Series = matched.set_index(id_column)[prediction_column]
    return series
