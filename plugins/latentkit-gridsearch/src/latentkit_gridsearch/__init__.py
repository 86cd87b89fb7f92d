"""Grid search and random search as tuners of latentkit."""
