"""A transfer as a run: its stages, its card and its pages."""
