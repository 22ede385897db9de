"""A complete local Numerai: market, releases, tournament, GraphQL server, clock and faults.

Imports only `eras` and `errors` of the project; only `cli` and the tests import it. The code under test reaches it over
HTTP, exactly as it reaches Numerai.
"""
