"""Preference data: rows, formats, and the doctor that checks them."""
