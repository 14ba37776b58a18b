"""Shapes in jaxtyping signatures are checked by beartype while the tests run; one thread keeps runs repeatable."""

import torch
from jaxtyping import install_import_hook

torch.set_num_threads(1)
_hook = install_import_hook("diffopt", "beartype.beartype")
