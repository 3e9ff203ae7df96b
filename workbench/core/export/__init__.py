"""Ways out: what a run can leave the workbench as, and what was found when that was compared with the run."""
