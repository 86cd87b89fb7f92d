"""TensorBoard event files for runs of latentkit."""
