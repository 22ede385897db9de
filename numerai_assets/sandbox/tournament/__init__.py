"""The tournament: account, submissions, hosted models, webhooks, state on disk."""
