"""WHAT exists, in Dagster: one thin module per stage.

Asset bodies say what is made from what and attach the metadata a person wants to see; `pipeline` does the work. Heavy
libraries are imported inside functions so that the definitions load fast.
"""
