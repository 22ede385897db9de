"""Daily scores, diagnostics and standings, as Numerai publishes them."""
