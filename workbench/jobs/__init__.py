"""Child processes, and who owns the device."""
