"""The modelled cycles of a Cortex-M7: never measured, and labelled so wherever they are shown."""

from .model import CycleModel, MemoryKind

__all__ = ["CycleModel", "MemoryKind"]
