"""The execution-time model measured; see ``__main__.py``."""
