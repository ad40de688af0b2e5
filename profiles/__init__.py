"""Bundled device profiles, as data: ``fdi_keras.load_profile(name)``."""
