"""Classifiers on a trained encoder: the network, its labels, and weights from elsewhere."""
