"""Explore a latent space: traversals, interpolations, samples and nearest images."""
