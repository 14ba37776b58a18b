"""The house's rules, read from the source: imports go downwards, each outside world has one room, files stay short."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "diffopt"
FLOORS = {
    "errors": 0, "unpickle": 0, "geometry": 0, "body": 0,
    "motion": 1, "prior": 1,
    "losses": 2, "data": 2, "frontend": 2, "result": 2,
    "fitting": 3,
    "config": 4, "evaluation": 4, "export": 4, "show": 4,
    "pipeline": 5, "sample": 5, "exchange": 5, "evaluate": 5, "sweep": 5, "everyone": 5, "cli": 5,
    "__init__": 6,
}  # fmt: skip
"""A module may import rooms on lower floors and, as long as that does not go both ways, on its own."""
ROOMS_OF_LIBRARIES = {
    "pytorch_lightning": ("fitting/", "prior/training.py"),
    "lightning": ("fitting/", "prior/training.py"),
    "wandb": ("fitting/", "prior/training.py"),
    "omegaconf": ("config.py",),
    "smplx": ("body/",),
    "ray": ("evaluation/",),
    "pycolmap": ("frontend/",),
    "ai_edge_litert": ("frontend/",),
    "mediapipe": (),
    "chumpy": (),
}
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
            # `from diffopt import data` names a room; `from diffopt.data import x` may or may not name a module.
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
                if FLOORS[other] > FLOORS[room]:
                    found.append(f"{path}: imports '{name}' from a floor above")
                elif FLOORS[other] == FLOORS[room] and other != room:
                    sideways[room, other] = path
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


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ({"geometry/a.py": "from diffopt.fitting.run import fit"}, "from a floor above"),
        ({"losses/a.py": "def f():\n    import diffopt.evaluation.metrics"}, "from a floor above"),
        ({"data/a.py": "from diffopt import show"}, "from a floor above"),
        ({"data/a.py": "from diffopt import Observation"}, "from a floor above"),
        ({"data/a.py": "from . import observation"}, "relative import"),
        ({"data/a.py": "import diffopt.frontend.b", "frontend/b.py": "import diffopt.data.a"}, "import each other"),
        ({"losses/a.py": "import pytorch_lightning as pl"}, "imports pytorch_lightning"),
        ({"prior/denoiser.py": "from wandb.sdk import run"}, "imports wandb"),
        ({"fitting/a.py": "from omegaconf import OmegaConf"}, "imports omegaconf"),
        ({"data/a.py": "import smplx"}, "imports smplx"),
        ({"frontend/a.py": "import mediapipe"}, "nowhere"),
        ({"utils/a.py": ""}, "has no floor"),
        ({"data/a.py": "\n" * 301}, "301 lines"),
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
            "prior/training.py": "import wandb",
            "__init__.py": "from diffopt.cli import main",
            "data/a.py": "import numpy\nimport diffoptics\n" + "\n" * 290,
        }
    ) == []  # fmt: skip
