"""The built-in plugins. They see only what a stranger's plugin sees."""
