"""Event files of latentkit's runs for TensorBoard."""
