"""WHAT exists: one thin module a stage, each asset a paragraph over the rooms below.

Bodies say what is made from what and put what a person wants to see into metadata; the how lives below. Heavy
libraries are imported inside functions, so that the definitions load fast.
"""
