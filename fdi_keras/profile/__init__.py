"""Device profiles: one JSON file per device and runtime, learned, saved, loaded, refitted."""

from fdi_keras.profile.files import (
    bundled_profiles,
    find_profile,
    load_profile,
    own_profiles,
    profile_folder,
)
from fdi_keras.profile.learn import learn_profile, refit
from fdi_keras.profile.measure import profile_device, profile_devices
from fdi_keras.profile.profile import DeviceProfile, EnergyPart, FailedProbe, MeasurementTable
from fdi_keras.profile.station import campaign_journal, default_profile_path

__all__ = [
    "DeviceProfile",
    "EnergyPart",
    "FailedProbe",
    "MeasurementTable",
    "bundled_profiles",
    "campaign_journal",
    "default_profile_path",
    "find_profile",
    "learn_profile",
    "load_profile",
    "own_profiles",
    "profile_device",
    "profile_devices",
    "profile_folder",
    "refit",
]
