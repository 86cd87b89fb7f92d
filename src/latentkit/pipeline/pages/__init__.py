"""The report stage: arrays of a run into figures, figures and numbers into one page."""
