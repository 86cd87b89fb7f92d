"""Transfer: classifiers trained on the encoder of a run."""
