"""HOW: every stage of a round over one workspace, without Dagster.

The spec of what settings ask for, the plan, vintages, predictions, the ladder of fallbacks, submission, diagnostics,
explanations, search, live scores, report and alerts. May import every room below; must not import Dagster.
"""
