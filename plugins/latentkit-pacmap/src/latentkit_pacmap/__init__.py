"""PaCMAP and LocalMAP as embeddings for latentkit."""
