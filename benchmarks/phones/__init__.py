"""Measured claims about phones, on stand-in phones."""
