"""The memory study: what FLOPs do not explain."""
