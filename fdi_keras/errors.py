"""Every error that fdi_keras raises on purpose.

An error message is part of the interface: it says what is wrong, what was
expected, what was received and what to do. The command line prints the message
alone; a traceback means that the program itself is at fault.

The hierarchy::

    FdiError
    ├── UsageError                a wrong argument: an unknown name, a value out of its limits
    ├── StorageError              a folder that cannot be written, a full disk
    ├── JournalError              a journal that cannot be read
    ├── DeviceError
    │   ├── DeviceNotFoundError   no such device
    │   ├── DeviceBusyError       another campaign holds the device and runtime
    │   ├── DeviceGoneError       the cable, the phone or the adb server went away in the middle
    │   │   └── DeviceSilentError it is still there and did not answer in time
    │   ├── CommandFailedError    the phone carried out what was asked, and it failed
    │   ├── RunnerNotFoundError   no benchmark_model for a phone, and none could be fetched
    │   └── MeasurementError      one measurement failed: a crash, a time-out, a refused model
    │       ├── OutputDamagedError       its output is cut, out of order or contradicts itself
    │       ├── ToolCrashedError         the tool was killed or crashed
    │       ├── ToolHungError            the tool did not end, and was ended
    │       ├── ModelRefusedError        the runtime does not execute this model
    │       ├── DelegateNotAppliedError  another processor would have run this model
    │       ├── RuntimeRefusedError      the tool lacks what this runtime needs, for any model
    │       └── EnergyUnavailableError   energy cannot be measured now, or not on this phone
    ├── CampaignError             a campaign that cannot start, resume or learn anything
    ├── ProfileError
    │   ├── ProfileNotFoundError
    │   ├── ProfileInvalidError   damaged, foreign or inconsistent
    │   ├── ProfileVersionError   written by a newer version
    │   └── EnergyUnknownError    made without measuring energy
    ├── ModelError
    │   ├── ModelFileError        a file that is no Keras or TFLite model
    │   ├── UnsupportedModelError a model that cannot be read as a graph of layers
    │   ├── NothingToPruneError   a model without a single prunable channel space
    │   └── ExportError           LiteRT conversion failed
    ├── UnknownOperatorsError     a profile that knows none of a network's operators
    ├── TargetError               a target that no width of the network can meet
    └── TrainingDivergedError     NaN or infinity in the loss
"""

from __future__ import annotations


class FdiError(Exception):
    """Base of all expected errors; its text is written for the user."""


class UsageError(FdiError, ValueError):
    """An argument is unknown or outside its limits."""


class StorageError(FdiError, OSError):
    """A file or folder could not be written."""


class JournalError(FdiError):
    """A journal is damaged, foreign or from a newer version."""


class DeviceError(FdiError):
    """Something about a device."""


class DeviceNotFoundError(DeviceError, LookupError):
    """No device answers to this name."""


class DeviceBusyError(DeviceError):
    """Another campaign is running on the same device and runtime."""


class DeviceGoneError(DeviceError):
    """A device, or what leads to it, went away: what was under way has no result."""


class DeviceSilentError(DeviceGoneError):
    """A device did not answer in time; it may be frozen, or only busy."""


class CommandFailedError(DeviceError):
    """A command or a file transfer was refused by the phone itself.

    Attributes:
        code: exit status of the command; 1 for a file transfer.
        stderr: what the phone said about it, as it came.
    """

    def __init__(self, message: str, code: int = 1, stderr: str = ""):
        super().__init__(message)
        self.code = code
        self.stderr = stderr


class MeasurementError(DeviceError):
    """One measurement failed; the campaign goes on."""


class OutputDamagedError(MeasurementError):
    """Output that is cut, out of order or contradicts itself; measuring again may help."""


class ToolCrashedError(MeasurementError):
    """The measuring tool was killed or crashed, for want of memory for example."""


class ToolHungError(MeasurementError):
    """The measuring tool did not end; measuring again may help, since it may have been the phone."""


class ModelRefusedError(MeasurementError):
    """The runtime does not execute this model; measuring again is of no use."""


class DelegateNotAppliedError(MeasurementError):
    """The accelerator did not take this model, so another processor would have been timed."""


class RuntimeRefusedError(MeasurementError):
    """The tool lacks what this runtime needs: no model can be measured with it."""


class EnergyUnavailableError(MeasurementError):
    """Energy cannot be measured: the phone charges, does not tell its current, or shows no difference."""


class RunnerNotFoundError(DeviceError, LookupError):
    """No measuring tool for this phone was found, and none could be fetched."""


class CampaignError(FdiError):
    """A campaign cannot start, resume or learn anything."""


class ProfileError(FdiError):
    """Something about a profile file."""


class ProfileNotFoundError(ProfileError, LookupError):
    """No file and no bundled profile of this name."""


class ProfileInvalidError(ProfileError, ValueError):
    """A profile file is damaged, foreign or contradicts itself."""


class ProfileVersionError(ProfileError):
    """A profile file was written by a newer version of fdi_keras."""


class EnergyUnknownError(ProfileError, LookupError):
    """A profile was made without measuring energy."""


class ModelError(FdiError):
    """Something about a network."""


class ModelFileError(ModelError, ValueError):
    """A file is no Keras or TFLite model."""


class UnsupportedModelError(ModelError, TypeError):
    """A model cannot be read as a graph of layers."""


class NothingToPruneError(ModelError, ValueError):
    """A model has no channel space that could be narrowed."""


class ExportError(ModelError):
    """A model could not be converted to LiteRT."""


class UnknownOperatorsError(FdiError, ValueError):
    """A profile knows none of a network's operators."""


class TargetError(FdiError, ValueError):
    """A latency target cannot be met by any width of the network."""


class TrainingDivergedError(FdiError, ArithmeticError):
    """The loss became NaN or infinite."""


class UnmeasuredProfileWarning(UserWarning):
    """A network is priced by a profile that no device was measured for."""
