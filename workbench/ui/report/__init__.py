"""The report card of runs: its pieces as HTML, as one file, and as a view of the Compare page."""
