"""The checks of `latentkit.testing.tuners`, one module for each aspect of the contract."""
