"""Between which values a setting makes sense, told where its default stands."""

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

Number: TypeAlias = int | float


@dataclass(frozen=True)
class Bounds:
    """A range of finite numbers, its ends included, the lower one only unless `open_low`."""

    low: Number
    high: Number = math.inf
    open_low: bool = False

    def __contains__(self, value: Number) -> bool:
        return (self.low < value if self.open_low else self.low <= value) and value <= self.high and value < math.inf

    def __str__(self) -> str:
        low = f"more than {self.low:g}" if self.open_low else f"{self.low:g}"
        return low + (f" to {self.high:g}" if self.high < math.inf else "" if self.open_low else " or more")


def positive(default: Number | None) -> Any:
    """A field of a dataclass: a number above 0."""
    return _within(Bounds(0, open_low=True), default)


def at_least(low: Number, default: Number | None) -> Any:
    """A field of a dataclass: a number from `low` on."""
    return _within(Bounds(low), default)


def fraction(default: Number) -> Any:
    """A field of a dataclass: a part of a whole, 0 to 1."""
    return _within(Bounds(0, 1), default)


def _within(bounds: Bounds, default: Number | None) -> Any:
    return dataclasses.field(default=default, metadata={"bounds": bounds})


def out_of_bounds(options: Any, path: str = "") -> Iterator[tuple[str, Number, Bounds]]:
    """The numbers of a dataclass, and of those inside it, that lie outside of what their fields allow.

    Yields:
        Dotted name, value, and what was expected.
    """
    if isinstance(options, dict):
        for key, part in options.items():
            yield from out_of_bounds(part, f"{path}{key}.")
    elif dataclasses.is_dataclass(options):
        for field in dataclasses.fields(options):
            value, bounds = getattr(options, field.name), field.metadata.get("bounds")
            if bounds is not None and value is not None and value not in bounds:
                yield f"{path}{field.name}", value, bounds
            yield from out_of_bounds(value, f"{path}{field.name}.")
