"""Pretrained encoders of timm as a model for latentkit."""
