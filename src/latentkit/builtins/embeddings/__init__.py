"""The built-in embeddings."""
