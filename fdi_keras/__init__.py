"""fdi_keras: networks that are really faster on a device.

Learns a device's execution-time model from measurements (FastDeepIoT, Yao et al.,
SenSys 2018), steers training by predicted latency, prunes, and grows layers to
nearby time minima.

Public names load on first use: ``import fdi_keras`` itself imports no keras,
tensorflow or scikit-learn.
"""
