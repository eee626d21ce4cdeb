"""Relax operators in terms of `network.ops`, by Relax's name without "relax."."""

from __future__ import annotations

from converters.schedules.network.operators import images, pointwise, reductions, shapes, windows
from converters.schedules.network.operators.arguments import Arguments, Translation

__all__ = ["TRANSLATIONS", "Arguments", "Translation"]

TRANSLATIONS: dict[str, Translation] = {
    **images.TRANSLATIONS,
    **pointwise.TRANSLATIONS,
    **reductions.TRANSLATIONS,
    **shapes.TRANSLATIONS,
    **windows.TRANSLATIONS,
}
