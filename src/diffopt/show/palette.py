"""One colour per thing in every picture; told apart by colour-blind eyes too (Okabe and Ito, 2008)."""

ROOT = "#0072b2"
CAMERA = "#d55e00"
LEFT = "#009e73"
RIGHT = "#cc79a7"
TRUTH = "#555a60"
WARNING = "#e69f00"
INK = "#20262c"
FAINT = "#c9cfd4"
BODY = "#9cc3f2"
"""The body's material, lit."""
SERIES = (ROOT, CAMERA, LEFT, RIGHT, WARNING, "#56b4e9", INK)
"""One after the other, for many curves of a kind that have no colour of their own."""


def rgb(color: str) -> tuple[float, float, float]:
    """`#rrggbb` as red, green and blue from 0 to 1."""
    red, green, blue = (int(color[start : start + 2], 16) / 255 for start in (1, 3, 5))
    return red, green, blue


def rgb_bytes(color: str) -> tuple[int, int, int]:
    """`#rrggbb` as red, green and blue from 0 to 255."""
    red, green, blue = rgb(color)
    return round(255 * red), round(255 * green), round(255 * blue)
