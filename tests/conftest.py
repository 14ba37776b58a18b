"""Shapes in signatures are checked by beartype while the tests run; one thread and one seed keep runs repeatable."""

import numpy as np
import pytest
import torch
from jaxtyping import install_import_hook

torch.set_num_threads(1)
_hook = install_import_hook("diffopt", "beartype.beartype")


@pytest.fixture(autouse=True)
def one_seed():
    """Every test draws the same numbers whenever and wherever it runs."""
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002  what libraries draw from
