"""The HTTP face: GraphQL, files, connection faults, and the server process."""
