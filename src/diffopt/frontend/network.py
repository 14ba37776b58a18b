"""A network in a .tflite file, run on the CPU by LiteRT."""

from pathlib import Path
from typing import Any

from numpy import ndarray

from diffopt.errors import DiffoptError

INSTALL = "pip install --no-deps mediapipe==0.10.14 && pip install 'diffopt[video]'"
ASSETS = Path(__file__).parent / "assets"


class Network:
    """One picture in, named by its shape every output."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        """
        Raises:
            DiffoptError: LiteRT is not installed, or there is no such file.
        """
        try:
            from ai_edge_litert.interpreter import Interpreter  # absent where no video is ever read
        except ImportError as error:
            raise DiffoptError(f"Found no ai-edge-litert; expected it to run {path.name}; run: {INSTALL}") from error
        if not path.is_file():
            raise DiffoptError(f"{path}: no such file; expected one of the front end's networks; run: {INSTALL}")
        self._interpreter: Any = Interpreter(str(path), num_threads=threads)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]
        self._outputs = {tuple(o["shape"].tolist()): o["index"] for o in self._interpreter.get_output_details()}

    def __call__(self, picture: ndarray) -> dict[tuple[int, ...], ndarray]:
        """The outputs by their shapes with the batch, which themselves have none; `picture` has none either."""
        self._interpreter.set_tensor(self._input["index"], picture[None].astype(self._input["dtype"], copy=False))
        self._interpreter.invoke()
        return {shape: self._interpreter.get_tensor(index)[0] for shape, index in self._outputs.items()}
