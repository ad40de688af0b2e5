"""The main job, measured part by part; ``python -m benchmarks.main_job``."""
