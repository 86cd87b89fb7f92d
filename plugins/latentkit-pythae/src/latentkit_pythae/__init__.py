"""The autoencoders of pythae as models for latentkit."""
