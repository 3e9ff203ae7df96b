"""What is on disk: runs, datasets, presets, choices."""
