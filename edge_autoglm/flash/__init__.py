"""Flashing: one programmer a file, one table of them, and the read-back over the wire."""

from __future__ import annotations

from edge_autoglm.flash.flashing import FlashReport, flash_image
from edge_autoglm.flash.programmers import PROGRAMMERS

__all__ = ["PROGRAMMERS", "FlashReport", "flash_image"]
