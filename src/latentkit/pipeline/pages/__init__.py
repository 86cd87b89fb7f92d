"""The report stage, which turns a run's arrays into figures and one HTML page."""
