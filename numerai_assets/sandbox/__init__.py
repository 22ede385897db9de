"""A whole Numerai on loopback: market, release writer, GraphQL server, clock.

May import `eras` and `errors` of the project and nothing else of it; only the command line and the tests import it.
The code under test reaches it over HTTP and cannot tell it from Numerai.
"""
