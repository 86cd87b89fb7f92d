"""Images on their way to a model: splits, and batches by index on the device."""
