"""Costs of what the project does against named peers; each module is a script of its own. Nothing imports from here."""
