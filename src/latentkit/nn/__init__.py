"""Building blocks of models: encoders and decoders that infer the shapes of their layers."""
