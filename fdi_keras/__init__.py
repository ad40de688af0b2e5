"""fdi_keras: networks that are really faster on a device.

Learns a device's execution-time model from measurements (FastDeepIoT, Yao et al.,
SenSys 2018), steers training by predicted latency, prunes, and grows layers to
nearby time minima.

Public names load on first use: ``import fdi_keras`` itself imports no keras,
tensorflow or scikit-learn.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Budget": "fdi_keras.networks",
    "BudgetRegularizer": "fdi_keras.compression",
    "DeviceProfile": "fdi_keras.profile",
    "LatencyCallback": "fdi_keras.compression",
    "LatencyRegularizer": "fdi_keras.compression",
    "PrunableModel": "fdi_keras.compression",
    "apply_widths": "fdi_keras.compression",
    "bundled_profiles": "fdi_keras.profile",
    "compress": "fdi_keras.compression",
    "export_litert": "fdi_keras.networks",
    "grow": "fdi_keras.compression",
    "kept_channels": "fdi_keras.compression",
    "list_devices": "fdi_keras.devices",
    "load_model": "fdi_keras.networks",
    "load_profile": "fdi_keras.profile",
    "measure_interleaved": "fdi_keras.networks",
    "measure_latency": "fdi_keras.networks",
    "predict_latency": "fdi_keras.networks",
    "profile_device": "fdi_keras.profile",
    "prunable": "fdi_keras.compression",
    "prune": "fdi_keras.compression",
    "refit": "fdi_keras.profile",
    "sweep": "fdi_keras.study",
    "taylor_importance": "fdi_keras.compression",
}

__all__ = [
    "Budget",
    "BudgetRegularizer",
    "DeviceProfile",
    "LatencyCallback",
    "LatencyRegularizer",
    "PrunableModel",
    "__version__",
    "apply_widths",
    "bundled_profiles",
    "compress",
    "export_litert",
    "grow",
    "kept_channels",
    "list_devices",
    "load_model",
    "load_profile",
    "measure_interleaved",
    "measure_latency",
    "predict_latency",
    "profile_device",
    "prunable",
    "prune",
    "refit",
    "sweep",
    "taylor_importance",
]

if TYPE_CHECKING:
    from fdi_keras.compression import (
        BudgetRegularizer,
        LatencyCallback,
        LatencyRegularizer,
        PrunableModel,
        apply_widths,
        compress,
        grow,
        kept_channels,
        prunable,
        prune,
        taylor_importance,
    )
    from fdi_keras.devices import list_devices
    from fdi_keras.networks.budgets import Budget
    from fdi_keras.networks.export import export_litert, load_model
    from fdi_keras.networks.latency import measure_interleaved, measure_latency, predict_latency
    from fdi_keras.profile import DeviceProfile, bundled_profiles, load_profile, profile_device, refit
    from fdi_keras.study import sweep


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fdi_keras' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if "keras" in sys.modules:
    # Whoever imported keras first may load a gated model next, with keras.models.load_model: it can
    # find the classes only once they are registered. Without keras there is nothing to register with.
    import fdi_keras.compression  # noqa: F401
