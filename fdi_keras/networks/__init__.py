"""A Keras network as the device sees it: operators, channel spaces, predicted latency.

Names load on first use: reading a ``.tflite`` file needs no keras.
"""

from __future__ import annotations

from typing import Any

_HOMES = {
    "Budget": "budgets",
    "ChannelSpace": "channel_spaces",
    "ChannelSpaces": "channel_spaces",
    "LatencyPlan": "latency_plan",
    "LatencyReport": "latency",
    "MeasuredLatency": "latency",
    "OperatorLatency": "latency",
    "export_litert": "export",
    "find_channel_spaces": "channel_spaces",
    "load_model": "export",
    "measure_interleaved": "latency",
    "measure_latency": "latency",
    "predict_latency": "latency",
    "read_graph": "graph",
    "read_layer_operators": "layer_operators",
    "read_operators": "latency",
    "read_tflite_operators": "tflite_operators",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
