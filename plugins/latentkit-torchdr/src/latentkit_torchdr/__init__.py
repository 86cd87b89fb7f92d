"""Maps of TorchDR as embeddings for latentkit."""
