"""What a latent space holds: walks through it, samples, neighbours. Arrays in, arrays out.

Every function takes latents (N, D) and, where images come out, a `Decode`; it knows neither runs
nor pictures. `latentkit.explore` calls them on a run.
"""
