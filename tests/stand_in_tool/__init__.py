"""A stand-in for ``benchmark_model``: LiteRT on this computer behind the tool's flags and output."""
