"""Every global name that a function reads exists: what linters cannot tell where shapes are written as strings."""

import builtins
import dis
import importlib
import pkgutil
import types

import pytest

import diffopt

MODULES = sorted(module.name for module in pkgutil.walk_packages(diffopt.__path__, "diffopt."))


def functions_of(code):
    return [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]


def globals_read(code):
    """LOAD_GLOBAL only: LOAD_NAME in a class body may be its own."""
    names = {step.argval for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL"}
    return names.union(*(globals_read(inner) for inner in functions_of(code)))


@pytest.mark.parametrize("name", MODULES)
def test_every_name_is_known(name):
    module = importlib.import_module(name)
    with open(module.__file__) as file:
        code = compile(file.read(), module.__file__, "exec")
    read = set().union(*(globals_read(inner) for inner in functions_of(code)), set())
    assert read - set(vars(module)) - set(vars(builtins)) == set()
