"""What a run is told to do, and what becomes of it."""
