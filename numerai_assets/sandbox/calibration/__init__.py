"""How like Numerai's data the synthetic market is, and the signal that could be found in it at best."""
