"""Checks of settings: one sentence with the name, the value and what is allowed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from arctone.errors import UsageError


def check_choice(config: Any, name: str, allowed: Iterable[str], prefix: str = "") -> None:
    """Refuses a setting that is not one of the allowed words.

    Args:
        config: Settings, as attributes.
        name: Of the setting.
        allowed: Its words.
        prefix: What the user writes before the name, with a dot.

    Raises:
        UsageError: If the setting is another word.
    """
    value = getattr(config, name)
    if value not in allowed:
        raise UsageError(f"{prefix}{name}: {value!r} is unknown, choose from {', '.join(allowed)}")


def check_range(config: Any, names: Iterable[str], low: float, high: float = float("inf"), prefix: str = "") -> None:
    """Refuses settings outside a range; None is not looked at.

    Args:
        config: Settings, as attributes.
        names: Of the settings.
        low: Lowest value.
        high: Highest value.
        prefix: What the user writes before the name, with a dot.

    Raises:
        UsageError: If one is outside, or no number.
    """
    for name in names:
        value = getattr(config, name)
        if value is not None and not low <= value <= high:
            allowed = f"at least {low:g}" if high == float("inf") else f"{low:g} to {high:g}"
            raise UsageError(f"{prefix}{name}: {value!r} is not possible, it must be {allowed}")


def check_above_zero(config: Any, names: Iterable[str], prefix: str = "") -> None:
    """Refuses settings that are not above 0.

    Args:
        config: Settings, as attributes.
        names: Of the settings.
        prefix: What the user writes before the name, with a dot.

    Raises:
        UsageError: If one is 0, below, or no number.
    """
    for name in names:
        if not getattr(config, name) > 0:
            raise UsageError(f"{prefix}{name}: {getattr(config, name)!r} is not possible, it must be above 0")
