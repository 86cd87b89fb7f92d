"""The search space and the objective that a tuner plugin is handed."""
