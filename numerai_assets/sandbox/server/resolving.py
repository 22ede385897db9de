"""What all resolvers share: the request they answer, the types they bind to, and the refusals common to all."""

import functools
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from ariadne import MutationType, ObjectType, QueryType
from graphql import GraphQLResolveInfo

from numerai_assets.errors import SandboxError
from numerai_assets.sandbox.tournament import state
from numerai_assets.sandbox.tournament.local import LocalTournament, View
from numerai_assets.sandbox.tournament.state import TOURNAMENT

_Resolver = TypeVar("_Resolver", bound=Callable[..., Any])

query = QueryType()
mutation = MutationType()
model_type = ObjectType("Model")


@dataclass(frozen=True)
class ApiRequest:
    """One request: whom it asks, the picture it is answered from, where the server is reached, and its keys."""

    tournament: LocalTournament
    view: View
    base_url: str
    authorization: str | None

    def check_keys(self) -> None:
        expected = f"Token {state.PUBLIC_ID}${state.SECRET_KEY}"
        if self.authorization is None or not hmac.compare_digest(self.authorization.encode(), expected.encode()):
            raise SandboxError("Not authenticated: the API key is missing or wrong")


def with_keys(resolver: _Resolver) -> _Resolver:
    """Refuses a request whose keys are missing or wrong before `resolver` sees it."""

    @functools.wraps(resolver)
    def checked(parent: Any, info: GraphQLResolveInfo, **arguments: Any) -> Any:
        info.context.check_keys()
        return resolver(parent, info, **arguments)

    return checked  # type: ignore[return-value]


def check_tournament(tournament: int | None) -> None:
    """Raises SandboxError for any tournament but Classic; None means it."""
    if tournament not in (None, TOURNAMENT):
        raise SandboxError(f"tournament {tournament}: the sandbox runs {TOURNAMENT} (Classic) alone")
