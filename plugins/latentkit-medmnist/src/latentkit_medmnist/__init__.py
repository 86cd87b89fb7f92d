"""MedMNIST v2 as data sets of latentkit."""
