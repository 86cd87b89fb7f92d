"""Maps of cuML as embeddings for latentkit."""
