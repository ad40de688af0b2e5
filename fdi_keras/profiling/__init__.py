"""Profiling: which configurations to time, the probes, and the campaign that times them."""

from fdi_keras.profiling.campaign import run_campaign
from fdi_keras.profiling.cold_weights import ColdWeights
from fdi_keras.profiling.design import Configuration, configurations, design
from fdi_keras.profiling.lock import DeviceLock, campaign_name
from fdi_keras.profiling.patient_runner import Patience
from fdi_keras.profiling.plan import DEFAULT_MINUTES, Plan
from fdi_keras.profiling.probes import build_overhead_probe, build_probe
from fdi_keras.profiling.records import Failure, Measurement, Records, read_records
from fdi_keras.profiling.tally import CampaignProgress

__all__ = [
    "DEFAULT_MINUTES",
    "CampaignProgress",
    "ColdWeights",
    "Configuration",
    "DeviceLock",
    "Failure",
    "Measurement",
    "Patience",
    "Plan",
    "Records",
    "build_overhead_probe",
    "build_probe",
    "campaign_name",
    "configurations",
    "design",
    "read_records",
    "run_campaign",
]
