"""The common corruptions of images as corruptions of latentkit."""
