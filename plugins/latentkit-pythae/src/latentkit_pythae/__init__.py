"""The autoencoder family of pythae as models of latentkit."""
