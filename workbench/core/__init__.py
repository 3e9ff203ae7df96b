"""What things are and what follows from them: pure, no files, no processes."""
