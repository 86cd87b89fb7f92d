"""More embeddings of scikit-learn for latentkit."""
