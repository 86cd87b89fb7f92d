"""Image classification sets of torchvision as data sets of latentkit."""
