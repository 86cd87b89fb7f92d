"""What models are made of: encoders and decoders that infer their shapes."""
