"""Long rehearsals against the sandbox: what the pipeline does when everything around it goes wrong."""
