"""What the README and its neighbours promise exists: commands, targets, files, settings, imports."""

import ast
import importlib
import re
from pathlib import Path

import pytest

from diffopt.cli import main
from diffopt.config import load_config

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "CONTRIBUTING.md")
README = (ROOT / "README.md").read_text()
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def quoted(page):
    """What stands between backticks outside of blocks."""
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text(), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"`([^`]+)`", text)


def test_the_first_command_is_the_demo_and_the_second_the_tests():
    assert blocks("")[0].split("\n") == ["make demo", "make test", ""]


@pytest.mark.parametrize("page", PAGES)
def test_every_make_target_exists(page):
    named = {word for text in quoted(page) if text.startswith("make ") for word in text.split()[1:] if word.isalpha()}
    assert named and named <= TARGETS


def test_make_lists_its_targets():
    explained = set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"demo", "test", "lint", "types", "clean"} <= explained


def test_every_command_exists_and_every_command_is_named(capsys):
    named = {text.split()[1] for text in quoted("README.md") if text.startswith("diffopt ")}
    with pytest.raises(SystemExit):
        main(["--help"])
    listed = set(re.findall(r"^ {4}([a-z][a-z-]*)", capsys.readouterr().out, re.MULTILINE))
    assert named == listed


@pytest.mark.parametrize("page", PAGES)
def test_every_file_of_the_repository_that_is_named_exists(page):
    tops = {path.name for path in ROOT.iterdir()} | {"docs", "LICENSE", "NOTICE"}
    named = [text for text in quoted(page) if re.fullmatch(r"[\w./-]+", text) and text.split("/")[0] in tops]
    assert len(named) >= 3
    assert [text for text in named if not text.startswith(".venv") and not (ROOT / text).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_setting_that_is_named_exists(page):
    settings = [word for text in quoted(page) for word in text.split() if re.fullmatch(r"[a-z][\w.]*=[^\"']+", word)]
    own = [word for word in settings if not word.startswith(("data=", "dataset="))]
    load_config(overrides=own)
    groups = [text for text in quoted(page) if re.fullmatch(r"(fit|frontend|guidance|logging)(\.\w+)+", text)]
    for group in groups:
        value = load_config()
        for name in group.split("."):
            value = getattr(value, name)


def test_the_program_compiles_and_what_it_imports_exists():
    (program,) = blocks("python")
    imports = [node for node in ast.walk(ast.parse(program)) if isinstance(node, ast.ImportFrom)]
    assert len(imports) == 4
    for node in imports:
        for name in node.names:
            assert hasattr(importlib.import_module(node.module), name.name)


def test_links_lead_somewhere():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
