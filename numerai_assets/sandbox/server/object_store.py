"""Answers of the object store that Numerai's signed URLs point to."""

from xml.sax.saxutils import escape

from starlette.responses import Response


def store_error(status: int, code: str, message: str) -> Response:
    """An error as the store words it: XML with a code and a message."""
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>'
    return Response(body, status_code=status, media_type="application/xml")
