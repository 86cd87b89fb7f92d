"""More of scikit-learn's maps as embeddings of latentkit."""
