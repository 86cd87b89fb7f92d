"""PaCMAP and LocalMAP as embeddings of latentkit."""
