"""A pretended CUDA device for machines without one.

Its tensors compute on the CPU, say `cuda:0`, and refuse what CUDA refuses: to be mixed with the CPU's in an operation,
to be read by NumPy, to index the CPU's. What crosses between host and device is counted: a test can ask for none.
"""

from collections import Counter
from contextlib import ExitStack, contextmanager

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.accelerators import Accelerator
from pytorch_lightning.strategies import SingleDeviceStrategy
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only

CUDA = torch.device("cuda", 0)
INDEXING = ("index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index")
WAITING = ("_local_scalar_dense", "equal", "is_nonzero", "masked_select", "nonzero", "_unique2")
"""Operations whose result the host waits for: a number, or how many there are."""
crossings: Counter[str] = Counter()
"""What went from host to device and back, by what it was."""


def refuse(operation: str) -> None:
    raise RuntimeError(f"Expected all tensors to be on the same device, but found cuda:0 and cpu in {operation}")


class OnCuda(torch.Tensor):
    """A tensor that says that it lies on the device."""

    @staticmethod
    def __new__(cls, held: torch.Tensor):
        return torch.Tensor._make_wrapper_subclass(
            cls, held.size(), strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype,
            layout=held.layout, device="cpu",
        )  # fmt: skip

    def __init__(self, held: torch.Tensor) -> None:
        self.held = held

    device = property(lambda self: CUDA)
    is_cuda = property(lambda self: True)

    def numpy(self, **_):
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first.")

    __array__ = numpy

    def __repr__(self):
        return f"OnCuda({tuple(self.shape)}, {self.dtype})"

    def __format__(self, how):
        return format(self.item(), how) if self.dim() == 0 else repr(self)

    def __reduce_ex__(self, protocol):
        return self.held.detach().clone().__reduce_ex__(protocol)

    def __deepcopy__(self, memo):
        copied = OnCuda(self.held.detach().clone())
        if isinstance(self, torch.nn.Parameter):
            copied = torch.nn.Parameter(copied, self.requires_grad)
        memo[id(self)] = copied
        return copied

    @classmethod
    def __torch_function__(cls, function, types, arguments=(), named=None):
        return called(function, arguments, named or {})

    @classmethod
    def __torch_dispatch__(cls, operation, types, arguments=(), named=None):
        return dispatched(operation, arguments, named or {})


def dispatched(operation, arguments, named):
    name = operation._schema.name.removeprefix("aten::")
    tensors = [leaf for leaf in tree_leaves((arguments, named)) if isinstance(leaf, torch.Tensor)]
    strangers = [tensor for tensor in tensors if not isinstance(tensor, OnCuda)]
    if name in ("copy_", "_to_copy"):
        crossings["copy_"] += bool(strangers)
        if strangers and not isinstance(arguments[0], OnCuda):
            return arguments[0].copy_(arguments[1].held)
    elif name in INDEXING:
        if not isinstance(arguments[0], OnCuda):
            refuse(f"{name} of a CPU tensor by the device's indices")
        crossings["index"] += any(tensor.dim() > 0 for tensor in strangers)
        indices = [index for index in tree_leaves(arguments[1]) if isinstance(index, torch.Tensor)]
        crossings["mask"] += any(index.dtype == torch.bool for index in indices)
        if any(not isinstance(value, OnCuda) and value.dim() > 0 for value in tree_leaves(arguments[2:3])
               if isinstance(value, torch.Tensor)):  # fmt: skip
            refuse(f"the values of {name}")
    elif strangers:
        # As CUDA does: a number may be a CPU tensor without dimensions, in pointwise operations.
        if torch.Tag.pointwise not in operation.tags or any(tensor.dim() > 0 for tensor in strangers):
            refuse(name)
    elif name in WAITING:
        crossings[name] += 1
    own = {id(tensor.held): tensor for tensor in tensors if isinstance(tensor, OnCuda)}
    arguments, named = tree_map_only(OnCuda, lambda tensor: tensor.held, (arguments, named))
    named = {key: torch.device("cpu") if isinstance(value, torch.device) else value for key, value in named.items()}
    result = operation(*arguments, **named)
    return tree_map_only(torch.Tensor, lambda tensor: own[id(tensor)] if id(tensor) in own else OnCuda(tensor), result)


class _ToDevice(torch.autograd.Function):
    @staticmethod
    def forward(context, tensor):
        return OnCuda(tensor.detach().clone())

    @staticmethod
    def backward(context, gradient):
        return gradient.held if isinstance(gradient, OnCuda) else gradient


class _ToHost(torch.autograd.Function):
    @staticmethod
    def forward(context, tensor):
        return tensor.held.detach().clone()

    @staticmethod
    def backward(context, gradient):
        return OnCuda(gradient)


def moved(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    there = isinstance(tensor, OnCuda)
    if there == (device.type == "cuda"):
        return tensor
    crossings["to host" if there else "to device"] += 1
    if there:
        return _ToHost.apply(tensor) if tensor.requires_grad else tensor.held.detach().clone()
    return _ToDevice.apply(tensor) if tensor.requires_grad and not tensor.is_leaf else OnCuda(tensor.detach().clone())


def called(function, arguments, named):
    """What torch is asked for, before it becomes operations: here devices are named."""
    if function is torch.Tensor.to:
        return _to(*arguments, **named)
    if function is torch.Tensor.cpu:
        return moved(arguments[0], torch.device("cpu"))
    if function is torch.Tensor.cuda:
        return moved(arguments[0], CUDA)
    if function is torch.Tensor.numpy and isinstance(arguments[0], OnCuda):
        return arguments[0].numpy()
    if function is torch.Tensor.new_tensor and isinstance(arguments[0], OnCuda):
        named = {"device": CUDA} | named
    device = named.get("device")
    on_cuda = device is not None and torch.device(device).type == "cuda"
    if on_cuda:
        named = named | {"device": torch.device("cpu")}
        crossings["made on the host"] += function in (torch.tensor, torch.as_tensor, torch.Tensor.new_tensor)
    with torch._C.DisableTorchFunctionSubclass():
        made = function(*arguments, **named)
    return OnCuda(made) if on_cuda and not isinstance(made, OnCuda) else made


def _to(tensor, *asked, **named):
    device, dtype = named.get("device"), named.get("dtype")
    for one in asked:
        if isinstance(one, torch.Tensor):
            device, dtype = one.device, one.dtype
        elif isinstance(one, torch.dtype):
            dtype = one
        elif isinstance(one, str | torch.device):
            device = one
    result = tensor
    if device is not None:
        result = moved(tensor, torch.device(device))
    if dtype is not None and result.dtype != dtype:
        with torch._C.DisableTorchFunctionSubclass():
            result = torch.ops.aten._to_copy(result, dtype=dtype)
    return result


class Mode(TorchFunctionMode):
    def __torch_function__(self, function, types, arguments=(), named=None):
        return called(function, arguments, named or {})


class DeviceGenerator(torch.Generator):
    """A generator that says where it lies."""

    def __new__(cls, device="cpu"):
        made = super().__new__(cls)
        made.place = CUDA if torch.device(device).type == "cuda" else torch.device("cpu")
        return made

    device = property(lambda self: self.place)


class PretendedGpu(Accelerator):
    """Lightning's view of the device."""

    def setup_device(self, device):
        pass

    def teardown(self):
        pass

    def get_device_stats(self, device):
        return {}

    @staticmethod
    def parse_devices(devices):
        return devices

    @staticmethod
    def get_parallel_devices(devices):
        return [CUDA]

    @staticmethod
    def auto_device_count():
        return 1

    @staticmethod
    def is_available():
        return True

    @staticmethod
    def name():
        return "pretended"


REAL_TRAINER = pl.Trainer


def trainer(accelerator="auto", devices=1, strategy="auto", **rest):
    """Lightning's trainer, which takes the pretended device for a GPU."""
    if accelerator != "gpu":
        return REAL_TRAINER(accelerator=accelerator, devices=devices, strategy=strategy, **rest)
    return REAL_TRAINER(strategy=SingleDeviceStrategy(CUDA, accelerator=PretendedGpu()), **rest)


@contextmanager
def pretended_cuda():
    """Within, there is a CUDA device: `auto` takes it."""
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patched:
        patched.setattr(torch.cuda, "is_available", lambda: True)
        patched.setattr(torch, "Generator", DeviceGenerator)
        patched.setattr(pl, "Trainer", trainer)
        before = torch.__future__.get_overwrite_module_params_on_conversion()
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        stack.callback(torch.__future__.set_overwrite_module_params_on_conversion, before)
        stack.enter_context(Mode())
        yield
