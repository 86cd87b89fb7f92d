"""Transfer runs: their stages, evaluation card and report."""
