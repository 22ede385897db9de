"""Technical indicators and network momentum of your own daily price panel, by ticker and date."""
