"""Grid search and random search as tuners for latentkit."""
