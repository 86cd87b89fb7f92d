"""Export a run's networks to other runtimes."""
