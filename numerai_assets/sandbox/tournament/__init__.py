"""The tournament itself: accounts, submissions, hosted models, webhooks, state on disk."""
