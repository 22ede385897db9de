"""The HTTP server: GraphQL, files, faults of connections, and the server process."""
