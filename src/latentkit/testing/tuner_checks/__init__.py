"""The checks of `latentkit.testing.tuners`, one module for each side of the contract."""
