"""What a run's numbers say while it trains: curves, progress and health."""
