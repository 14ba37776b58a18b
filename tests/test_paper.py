"""`docs/paper.md` leads from every equation of the paper to code that names it, and misses none."""

import importlib
import re
from functools import reduce
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
ROWS = re.findall(r"^\| ([^|]+) \| [^|]+ \| `([^`]+)` \| `([^`]+)` \|$", (ROOT / "docs" / "paper.md").read_text(), re.M)


def mentions(text):
    """Equations, sections and tables of the paper that a text names, one by one; `eqs. 7 and 8` are two."""
    found = {
        f"eq. {number}" for row in re.findall(r"\beqs?\. ([\d, and]+)", text) for number in re.findall(r"\d+", row)
    }
    return found | set(re.findall(r"\bsection \d(?:\.\d)*|\bTable \d", text))


def test_every_equation_has_a_place():
    assert {f"eq. {number}" for number in range(1, 12)} <= {place for place, _, _ in ROWS}


@pytest.mark.parametrize(("place", "file", "name"), ROWS)
def test_a_named_place_names_its_equation(place, file, name):
    path = ROOT / file
    if path.suffix == ".yaml":
        reduce(lambda content, key: content[key], name.split("."), yaml.safe_load(path.read_text()))
        said = path.read_text()
    else:
        module = importlib.import_module(".".join(path.relative_to(ROOT / "src").with_suffix("").parts))
        said = f"{module.__doc__} {reduce(getattr, name.split('.'), module).__doc__}"

    assert place in mentions(said)


def test_nothing_cites_the_papers_introduction_or_related_work():
    """Its sections 1 and 2: nothing in them is built here."""
    assert [str(path) for path in (ROOT / "src").rglob("*.py") if re.search(r"section [12]\b", path.read_text())] == []
