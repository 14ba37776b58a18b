"""The house's rules, read from the source: imports go downwards, each outside world has one room, files stay short."""

import ast
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "diffopt"
FLOORS = {
    "bounds": 0, "device": 0, "errors": 0, "files": 0, "geometry": 0, "tracking": 1,
    "observation": 1,
    "body": 2,
    "motion": 3, "mocap": 3, "result": 3,
    "prior": 4, "formats": 4,
    "losses": 5, "training": 5, "initialisation": 5, "simulation": 5,
    "frontend": 6, "fitting": 6,
    "evaluation": 7, "show": 7,
    "config": 8,
    "commands": 9,
    "cli": 10, "__init__": 10,
}  # fmt: skip
"""A module may import rooms on lower floors and, as long as that does not go both ways, on its own."""
ROOMS_OF_LIBRARIES = {
    "pytorch_lightning": ("fitting/", "tracking.py", "training/motion_prior.py"),
    "lightning": ("fitting/", "tracking.py", "training/motion_prior.py"),
    "wandb": ("tracking.py",),
    "omegaconf": ("config.py",),
    "smplx": ("body/",),
    "ray": ("evaluation/",),
    "pycolmap": ("frontend/",),
    "ai_edge_litert": ("frontend/",),
    "mediapipe": (),
    "chumpy": (),
}
ONLY = {"observation": {"errors", "files"}}
"""The contract in: what these rooms see of the others, and no library but numpy."""
NEVER = {"formats": {"prior"}}
MAX_LINES = 300


def room_of(path: str) -> str:
    return path.split("/")[0].removesuffix(".py")


def imports(text: str) -> list[str]:
    """Every imported module by its full name; a relative import starts with a dot."""
    names = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            # `from diffopt import motion` names a room; `from diffopt.motion import x` may or may not name a module.
            names += [f"{base}.{alias.name}" for alias in node.names] if base == "diffopt" else [base]
    return names


def violations(sources: dict[str, str]) -> list[str]:
    """What breaks the rules, for files by their path below the package."""
    found, sideways = [], {}
    for path, text in sources.items():
        room = room_of(path)
        if room not in FLOORS:
            found.append(f"{path}: '{room}' has no floor; give it one in FLOORS")
            continue
        if len(text.splitlines()) > MAX_LINES:
            found.append(f"{path}: {len(text.splitlines())} lines, more than {MAX_LINES}; it is two topics")
        for name in imports(text):
            parts = name.split(".")
            if name.startswith("."):
                found.append(f"{path}: relative import '{name}'; write the full name")
            elif parts[0] == "diffopt":
                other = parts[1] if len(parts) > 1 and parts[1] in FLOORS else "__init__"
                if room in ONLY and other not in ONLY[room] | {room}:
                    found.append(f"{path}: imports '{name}'; '{room}' sees only {', '.join(sorted(ONLY[room]))}")
                elif other in NEVER.get(room, ()):
                    found.append(f"{path}: imports '{name}'; '{room}' must not know '{other}'")
                elif FLOORS[other] > FLOORS[room]:
                    found.append(f"{path}: imports '{name}' from a floor above")
                elif FLOORS[other] == FLOORS[room] and other != room:
                    sideways[room, other] = path
            elif room in ONLY and parts[0] not in sys.stdlib_module_names | {"numpy"}:
                found.append(f"{path}: imports {parts[0]}; '{room}' needs numpy alone")
            elif parts[0] in ROOMS_OF_LIBRARIES and not path.startswith(ROOMS_OF_LIBRARIES[parts[0]]):
                found.append(f"{path}: imports {parts[0]}, whose place is {ROOMS_OF_LIBRARIES[parts[0]] or 'nowhere'}")
    for room, other in sideways:
        if (other, room) in sideways and room < other:
            found.append(f"{sideways[room, other]}, {sideways[other, room]}: '{room}' and '{other}' import each other")
    return found


def test_the_house_stands():
    sources = {path.relative_to(SOURCE).as_posix(): path.read_text("utf-8") for path in SOURCE.rglob("*.py")}

    assert len(sources) > 30
    assert violations(sources) == []


def test_every_room_is_described():
    page = (SOURCE.parents[1] / "docs" / "architecture.md").read_text("utf-8")

    assert [room for room in FLOORS if room != "__init__" and f"`{room}`" not in page] == []


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ({"geometry/a.py": "from diffopt.fitting.run import fit"}, "from a floor above"),
        ({"losses/a.py": "def f():\n    import diffopt.evaluation.metrics"}, "from a floor above"),
        ({"simulation/a.py": "from diffopt import show"}, "from a floor above"),
        ({"simulation/a.py": "from diffopt import Observation"}, "from a floor above"),
        ({"mocap/a.py": "from . import clip"}, "relative import"),
        ({"show/a.py": "import diffopt.evaluation.b", "evaluation/b.py": "import diffopt.show.a"}, "import each other"),
        ({"losses/a.py": "import pytorch_lightning as pl"}, "imports pytorch_lightning"),
        ({"prior/denoiser.py": "from wandb.sdk import run"}, "imports wandb"),
        ({"fitting/a.py": "from omegaconf import OmegaConf"}, "imports omegaconf"),
        ({"simulation/a.py": "import smplx"}, "imports smplx"),
        ({"observation/a.py": "import torch"}, "needs numpy alone"),
        ({"observation/a.py": "from diffopt.geometry.cameras import project"}, "sees only errors, files"),
        ({"formats/a.py": "from diffopt.prior.motion_prior import load_prior"}, "must not know"),
        ({"frontend/a.py": "import mediapipe"}, "nowhere"),
        ({"utils/a.py": ""}, "has no floor"),
        ({"simulation/a.py": "\n" * 301}, "301 lines"),
    ],
)
def test_each_rule_catches_its_breach(sources, message):
    found = violations(sources)

    assert len(found) == 1 and message in found[0]


def test_what_is_allowed_passes():
    assert violations(
        {
            "fitting/a.py": "import pytorch_lightning\nfrom diffopt.losses.terms import x\nimport diffopt.fitting.b",
            "body/smpl.py": "import smplx",
            "config.py": "import omegaconf",
            "show/a.py": "from diffopt.formats.glb import z",
            "tracking.py": "import wandb",
            "__init__.py": "from diffopt.cli import main",
            "simulation/a.py": "import numpy\nimport diffoptics\n" + "\n" * 290,
        }
    ) == []  # fmt: skip
