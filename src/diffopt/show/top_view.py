"""The scene from above: where the person went, where the camera was, and where it looked."""

import math
from pathlib import Path

import matplotlib.patheffects as effects
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import ndarray

from diffopt.files.atomic import partial_file
from diffopt.show.palette import CAMERA, FAINT, INK, ROOT, TRUTH
from diffopt.show.scene import Scene

_LOOKS = 9
"""View directions drawn along the camera's path."""
_WIDTH_IN = 8.0
_FLATTEST, _STEEPEST = 0.5, 1.2
"""Height over width."""
_DPI = 150
_HALO: list[effects.AbstractPathEffect] = [effects.withStroke(linewidth=3, foreground="white")]


def write_top_view(path: Path, scene: Scene) -> Path:
    """Draw the paths over the floor, in metres; the picture's up is -z, so that left and right are not mirrored.

    Args:
        path: the `.png` to write.
        scene: what is shown; the truth, where known, is drawn dashed beside the result.

    Returns:
        `path`.
    """
    result = scene.result
    root, camera = on_floor(scene.root), on_floor(_centers(result.rotation_w2c, result.translation_w2c))
    everything = [root, camera]
    if scene.truth is not None:
        everything += [on_floor(scene.truth.joints[:, 0])]
        everything += [] if scene.truth.camera is None else [on_floor(scene.truth.camera)]
    low, high = limits(np.concatenate(everything))
    height_in = _WIDTH_IN * (high - low)[1] / (high - low)[0]
    figure = Figure(figsize=(_WIDTH_IN, height_in + 1.1), layout="constrained")
    axes = figure.add_subplot()
    axes.set_aspect("equal", adjustable="box")
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    draw_squares(axes)
    _draw_sight(axes, scene, root, camera)
    if scene.truth is not None:
        axes.plot(*on_floor(scene.truth.joints[:, 0]).T, "--", color=TRUTH, lw=1.3, label="truth", zorder=4)
        if scene.truth.camera is not None:
            axes.plot(*on_floor(scene.truth.camera).T, "--", color=TRUTH, lw=1.3, zorder=4)
    draw_path(axes, root, ROOT, f"person, {_length(root):.2f} m")
    moved = _length(camera)
    draw_path(axes, camera, CAMERA, f"camera, {moved:.2f} m" if moved > 0.01 else "camera, still")
    draw_seconds(axes, root, scene.seconds, ROOT)
    draw_scale_bar(axes)
    handles, _ = axes.get_legend_handles_labels()
    for marker, name in (("o", "start"), ("s", "end")):
        handles += axes.plot([], [], marker, color=INK, ms=6, label=name)
    figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False, fontsize=10)
    axes.set_title("Seen from above", loc="left", fontsize=13, fontweight="bold", color=INK)
    note = f"Squares of {_square_m(float((high - low)[0]))} m, seconds along the person's path."
    if scene.truth is not None:
        note += " Truth turned and moved to fit the whole clip."
    axes.set_xlabel(note, fontsize=8.5, color=TRUTH, labelpad=8)
    with partial_file(path) as partial:
        figure.savefig(partial, dpi=_DPI)
    return path


def limits(points: Float[ndarray, "N 2"], margin_m: float = 0.6) -> tuple[Float[ndarray, "2"], Float[ndarray, "2"]]:
    """The corners of a picture with all points in it and at least a margin about them, neither a strip nor a tower."""
    low, high = points.min(axis=0), points.max(axis=0)
    size = high - low + 2 * max(margin_m, 0.1 * float((high - low).max()))
    size = np.maximum(size, [size[1] / _STEEPEST, size[0] * _FLATTEST])
    return (low + high - size) / 2, (low + high + size) / 2


def on_floor(points_w: Float[ndarray, "T 3"]) -> Float[ndarray, "T 2"]:
    """Across and up in the picture."""
    return np.stack([points_w[:, 0], -points_w[:, 2]], axis=1).astype(np.float64)


def _centers(rotation_w2c: Float[ndarray, "T 3 3"], translation_w2c: Float[ndarray, "T 3"]) -> Float[ndarray, "T 3"]:
    return -np.einsum("tji,tj->ti", rotation_w2c.astype(np.float64), translation_w2c.astype(np.float64))


def _length(path: Float[ndarray, "T 2"]) -> float:
    return float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum())


def _square_m(width_m: float) -> int:
    """Sides of the floor's squares: on a large site, metres would become a grey mush."""
    return next((side for side in (1, 5, 25, 100) if width_m / side < 40), 10 ** math.ceil(math.log10(width_m / 40)))


def draw_squares(axes: Axes) -> None:
    """The floor, where no axis needs ticks: white lines on grey, metres apart."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    axes.set_facecolor("#f6f7f8")
    step = _square_m(right - left)
    for x in np.arange(np.ceil(left / step), right / step + 1e-9):
        axes.axvline(x * step, color="white", lw=1.2, zorder=0)
    for y in np.arange(np.ceil(bottom / step), top / step + 1e-9):
        axes.axhline(y * step, color="white", lw=1.2, zorder=0)
    axes.tick_params(length=0, labelbottom=False, labelleft=False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _draw_sight(axes: Axes, scene: Scene, root: Float[ndarray, "T 2"], camera: Float[ndarray, "T 2"]) -> None:
    """View directions as wedges as wide as the field of view."""
    result = scene.result
    frames = np.unique(np.linspace(0, result.num_frames - 1, _LOOKS).round().astype(int))
    extent = max(axes.get_xlim()[1] - axes.get_xlim()[0], axes.get_ylim()[1] - axes.get_ylim()[0])
    reach = 0.075 * extent
    for frame in frames:
        look = on_floor(result.rotation_w2c[frame, 2][None])[0]
        side = on_floor(result.rotation_w2c[frame, 0][None])[0]
        half = 0.5 * float(result.image_size_px[0]) / float(result.focal_px[frame])
        here = camera[frame]
        wedge = np.stack([here, here + reach * (look - half * side), here + reach * (look + half * side)])
        axes.fill(*wedge.T, color=CAMERA, alpha=0.16, lw=0, zorder=2)
        axes.plot(*np.stack([here, here + reach * look]).T, color=CAMERA, lw=1, zorder=3)
        axes.plot(*np.stack([here, root[frame]]).T, color=FAINT, lw=0.8, zorder=1)


def draw_path(axes: Axes, path: Float[ndarray, "T 2"], color: str, label: str) -> None:
    """A path with its start, a dot, and its end, a square."""
    axes.plot(*path.T, color=color, lw=2.6, label=label, zorder=5, solid_capstyle="round")
    axes.plot(*path[0], "o", color=color, ms=9, mec="white", mew=1.5, zorder=7)
    axes.plot(*path[-1], "s", color=color, ms=9, mec="white", mew=1.5, zorder=7)


def draw_seconds(axes: Axes, path: Float[ndarray, "T 2"], seconds: Float[ndarray, "T"], color: str) -> None:
    """A dot and a number for every second (every few, on a long clip) that is not on top of the last one."""
    step = next((step for step in (1, 2, 5, 10, 30, 60) if seconds[-1] / step <= 15), 600)
    extent = np.hypot(*(np.diff(axes.get_xlim()), np.diff(axes.get_ylim())))
    last = path[0]
    for second in np.arange(step, seconds[-1], step):
        here = path[int(np.argmin(np.abs(seconds - second)))]
        if np.linalg.norm(here - last) < 0.03 * extent or np.linalg.norm(here - path[-1]) < 0.03 * extent:
            continue
        last = here
        axes.plot(*here, "o", color="white", mec=color, ms=6, mew=1.5, zorder=6)
        text = axes.annotate(f"{second:g}", here, (6, 5), textcoords="offset points", fontsize=9, color=color, zorder=8)
        text.set_path_effects(_HALO)


def draw_scale_bar(axes: Axes) -> None:
    """A round length in the lower left corner."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    width = right - left
    length = max((size for size in (0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500) if size < 0.3 * width), default=0.1)
    x, y = left + 0.03 * width, bottom + 0.05 * (top - bottom)
    axes.plot([x, x + length], [y, y], color=INK, lw=3, solid_capstyle="butt", zorder=8)
    middle = (x + length / 2, y)
    text = axes.annotate(f"{length:g} m", middle, (0, 5), textcoords="offset points", ha="center", zorder=8)
    text.set(fontsize=10, color=INK, path_effects=_HALO)
