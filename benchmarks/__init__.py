"""Measured comparisons; each prints its table and writes it as JSON under ``results/``."""
