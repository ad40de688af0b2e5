"""The dashboard measured, see __main__."""
