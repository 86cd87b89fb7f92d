"""Self-supervised encoders of lightly as models for latentkit."""
