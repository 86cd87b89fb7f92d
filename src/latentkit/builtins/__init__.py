"""The built-in plugins. They use only what is open to third-party plugins too."""
