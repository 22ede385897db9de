"""Common to all resolvers: the request, the types they bind to, and the checks of API keys and tournament."""

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

CLASSIC = "classic"


@dataclass(frozen=True)
class ApiRequest:
    """One GraphQL request. view: the state that answers it. base_url: of the server. authorization: the header."""

    tournament: LocalTournament
    view: View
    base_url: str
    authorization: str | None

    def check_keys(self) -> None:
        """Raises SandboxError when the API keys are missing or wrong."""
        expected = f"Token {state.PUBLIC_ID}${state.SECRET_KEY}"
        if self.authorization is None or not hmac.compare_digest(self.authorization.encode(), expected.encode()):
            raise SandboxError("Not authenticated: the API key is missing or wrong")


def answers(
    operation: QueryType | MutationType, name: str, *, with_keys: bool = False
) -> Callable[[_Resolver], _Resolver]:
    """Binds a resolver to a root field: it is called with the request and the field's arguments.

    The argument `tournament` is checked here and not passed on. with_keys: refuse a request without the API keys.
    """

    def bind(resolver: _Resolver) -> _Resolver:
        @operation.field(name)
        def resolve(_: Any, info: GraphQLResolveInfo, tournament: int | str | None = None, **arguments: Any) -> Any:
            request: ApiRequest = info.context
            if with_keys:
                request.check_keys()
            if tournament not in (None, TOURNAMENT, CLASSIC):
                raise SandboxError(f"tournament {tournament!r}: the sandbox runs only {TOURNAMENT} ({CLASSIC})")
            return resolver(request, **arguments)

        return resolver

    return bind
