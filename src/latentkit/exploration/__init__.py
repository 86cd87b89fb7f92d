"""Exploration of a latent space: traversals, interpolations, samples and neighbours.

The functions work on arrays only, without runs or figures. Each takes latents (N, D) and, if it
returns images, a `Decode` function. `latentkit.explore` calls them on a run.
"""
