"""Steering against everybody else, at equal measured time."""
