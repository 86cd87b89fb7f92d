"""Templates for new plugins: each is a small distribution that works and passes its own tests."""
