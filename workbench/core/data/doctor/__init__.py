"""What is wrong with a dataset, and how to fix it."""
