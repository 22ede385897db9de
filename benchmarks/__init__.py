"""Costs of the project's work compared with named peers. Each module is a script; the package imports nothing from here."""
