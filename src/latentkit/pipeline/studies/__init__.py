"""Studies: trials as runs, the values of their objectives, and the study's report."""
