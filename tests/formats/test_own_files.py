"""docs/formats.md says what the code checks."""

import re
from pathlib import Path

import pytest

from diffopt.observation import observation
from diffopt.observation.keypoint_sets import KEYPOINT_SETS
from diffopt.observation.schema import Field
from diffopt.result.result import CAMERAS_FIELDS, CAMERAS_SCHEMA, MOTION_FIELDS, MOTION_SCHEMA

PAGE = (Path(__file__).parents[2] / "docs" / "formats.md").read_text("utf-8")


def documented(schema: str) -> dict[str, str]:
    """Type and shape of every field in the first table after a schema's name."""
    after = PAGE[PAGE.index(f"schema `{schema}`") :]
    table = after[after.index("|---|") :].split("\n\n")[0]
    return dict(re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", table, flags=re.MULTILINE))


def described(field: Field) -> str:
    shape = ", ".join(map(str, field.shape)) + ("," if len(field.shape) == 1 else "")
    return f"{field.kind} ({shape})" if field.shape else field.kind


@pytest.mark.parametrize(
    ("schema", "fields"),
    [
        (observation.SCHEMA, observation.FIELDS),
        (MOTION_SCHEMA, MOTION_FIELDS),
        (CAMERAS_SCHEMA, CAMERAS_FIELDS),
    ],
)
def test_every_field_is_documented_with_its_shape(schema, fields):
    page = documented(schema)
    defaults = observation.Observation.__dataclass_fields__ if schema == observation.SCHEMA else {}
    page.pop("schema", None)

    assert list(page) == list(fields)
    for name, field in fields.items():
        has_default = name in defaults and not isinstance(defaults[name].default, type(defaults["name"].default))
        assert page[name] == described(field) + (", optional" if has_default else ""), name


def test_every_choice_is_documented():
    choices = {choice for field in observation.FIELDS.values() for choice in field.choices} | set(KEYPOINT_SETS)

    assert [choice for choice in sorted(choices) if f"`{choice}`" not in PAGE] == []
