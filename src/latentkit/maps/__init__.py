"""Maps: coordinates of latents under an embedding, with their quality and figures."""
