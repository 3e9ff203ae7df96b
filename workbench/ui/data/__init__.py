"""Page 2: preference data."""
