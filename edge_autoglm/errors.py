"""Errors of `edge_autoglm`.

EdgeError                 base; the CLI prints it as one line and exits 1
+-- UsageError            wrong usage; exit 2
+-- TransportError        port absent, busy, without permission, or gone (the cable's fault)
+-- SessionError          the board does not answer as it should (the program's fault)
|   +-- BoardSilentError  nothing came back
|   +-- BoardFaultError   the firmware reported a fault and reset
|   +-- HalfImageError    flashing was cut off; the board waits to be flashed again
|   +-- ModelUnreadyError an interpreter on the board cannot run its model, and says why
+-- FlashError            programming failed, or what was read back differs
|   +-- NoProgrammerError, AmbiguousError, SerialError, ToolMissingError, ToolError (`flash`)
+-- OutputError           a file cannot be written where it was asked for (`files`)
+-- BundleError           a profile's bundle is damaged, or none (`measure.bundle`)
+-- CompareError          what is given cannot be compared (`measure.sides`)
+-- PhoneError            a phone over adb, its app, or its log (`adb`)
|   +-- AdbMissingError, NoPhoneError, PhoneGoneError
+-- BudgetError           nothing fits the budget (`search.limits`)
+-- BackendError          a backend cannot be had, or fails (`backends`)
|   +-- BackendUnavailableError  it is not on this machine
|   +-- BackendRefusedError      it does not take the model
|   +-- BackendRunError          it failed, or its process ended, while it ran
+-- SetupError            something cannot be put into the user's cache (`gpu_packages`)
+-- StudyError            a study cannot be opened, or is of something else (`search.study`)

Those with a module behind them are defined there.
"""

from __future__ import annotations


class EdgeError(Exception):
    """Base of every error that this package raises on purpose."""


class UsageError(EdgeError):
    """The command line is wrong."""


class TransportError(EdgeError):
    """A port is absent, busy, without permission, or went away."""


class SessionError(EdgeError):
    """The board does not answer as the protocol says."""


class BoardSilentError(SessionError):
    """Nothing came back in time."""


class BoardFaultError(SessionError):
    """The firmware reported a fault and resets."""


class HalfImageError(SessionError):
    """The board's flash holds half an image."""


class ModelUnreadyError(SessionError):
    """An interpreter on the board cannot run its model: too small an arena, or its own reason."""


class FlashError(EdgeError):
    """Programming failed, or what was read back differs."""


class PhoneError(EdgeError):
    """A phone, reached through adb, cannot do what was asked."""
