"""Image data sets of the library datasets of Hugging Face, for latentkit."""
