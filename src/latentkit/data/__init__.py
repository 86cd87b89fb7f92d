"""Data for a model: splits, batches on the device, corruptions, and vectors from files."""
