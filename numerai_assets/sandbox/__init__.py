"""A whole Numerai on loopback: market, releases, tournament, GraphQL server, clock and faults.

May import `eras` and `errors` of the project and nothing else; only `cli` and the tests import it. The code under test
reaches it over HTTP and cannot tell it from Numerai.
"""
