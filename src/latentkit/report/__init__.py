"""HTML reports of one run, and pages on several."""
