"""The evaluation card: what a model is worth, beside baselines, with intervals."""
