"""edge-autoglm: from a trained model to a measured microcontroller.

The public API is imported where it is asked for, so that importing the package costs nothing.
"""

__version__ = "0.1.0"
