"""Packages for Android as the stages before give them, with content that no GPU has to read."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from edge_export.mobile.model import (
    Delegation,
    Golden,
    MobileModel,
    OutputDifference,
    Package,
    Place,
    Placement,
    Port,
    Target,
    Variant,
    Verdict,
)
from edge_quantize.graph import DType, Quantization

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
KOTLIN_WORDS = ("in", "In", "class", "fun", "val", "object", "is", "it", "field", "value")


def port(
    name: str,
    shape: tuple[int, ...],
    dtype: DType = DType.FLOAT32,
    scale: tuple[float, int] | None = None,
) -> Port:
    quantization = Quantization((scale[0],), (scale[1],)) if scale else None
    return Port(name, name, shape, dtype, quantization)


def verdict(state: str = "right", **changes: object) -> Verdict:
    values: dict[str, object] = {
        "state": state,
        "why": "the greatest difference is 3.1e-05 of the greatest value (1e-3 allowed)",
        "variant": Variant.FLOAT16,
        "outputs": (OutputDifference("scores", 1e-5, 1e-6, 3.1e-5, 1e-3, 1.0, True),),
        "on_gpu": 2,
        "operators": 2,
        "adapter": "SwiftShader Device (Subzero)",
        "arithmetic": "float32",
        "samples": 12,
        "source": "pseudo-random input",
        "runtime": "ai-edge-litert 2.3.0",
        "limits": ("a phone's own GPU was not there",),
    }
    return Verdict(**(values | changes))  # type: ignore[arg-type]


def package(
    name: str,
    inputs: tuple[Port, ...],
    outputs: tuple[Port, ...],
    *,
    signature: str | None = None,
    labels: tuple[str, ...] = (),
    judged: Verdict | None = None,
    content: bytes = b"a model",
    places: tuple[Place, ...] = (Place.GPU, Place.GPU),
) -> Package:
    placed = tuple(
        Placement(index, f"conv_{index}", "CONV_2D", place, 0) for index, place in enumerate(places)
    )
    return Package(
        Target.ANDROID_GPU,
        MobileModel(name, Variant.FLOAT16, content, inputs, outputs, signature, labels),
        Delegation(placed, (), "the log of LiteRT 2.3.0"),
        judged or verdict(),
    )


def digits(**changes: object) -> Package:
    """One float input and output, a signature, class names."""
    values: dict[str, object] = {"signature": "serving_default", "labels": DIGITS}
    return package(
        "digits",
        (port("image", (1, 8, 8, 1)),),
        (port("scores", (1, 10)),),
        **(values | changes),  # type: ignore[arg-type]
    )


def every_kind() -> Package:
    """All element types that Kotlin can write and read, ranks 0 to 5, both ways."""
    ports = (
        port("real", (1, 2, 3, 4, 5)),
        port("scalar", ()),
        port("whole", (3,), DType.INT32),
        port("long", (1, 3), DType.INT64),
        port("flag", (1, 2, 2), DType.BOOL),
        port("raw", (1, 2, 2, 2), DType.INT8),
        port("raw_unsigned", (1,), DType.UINT8),
        port("stored", (1, 4), DType.INT8, (0.1, 3)),
        port("stored_unsigned", (1, 4), DType.UINT8, (1 / 255, 0)),
    )
    return package("every kind", ports, ports)


def golden_digits() -> Package:
    """Digits with one inference of the reference: the score of class i is i + 2."""
    image = np.full(64, 2, "<f4")
    scores = np.arange(2, 12).astype("<f4")
    given = digits()
    model = replace(given.model, name="golden digits")
    golden = Golden((image.tobytes(),), (scores.tobytes(),), (0.01,))
    return replace(given, model=model, golden=golden)


def every_kind_golden() -> Package:
    given = every_kind()
    ports = given.model.inputs
    contents = tuple(bytes(math.prod(p.shape) * p.dtype.itemsize) for p in ports)
    model = replace(given.model, name="every golden kind")
    return replace(given, model=model, golden=Golden(contents, contents, (0.5,) * len(ports)))


def packages() -> tuple[Package, ...]:
    """Models that try the names and types of the generated code."""
    scaled = (1, 4096)
    return (
        digits(),
        every_kind(),
        every_kind_golden(),
        golden_digits(),
        package(
            "two outputs",
            (port("ids:0", (3,), DType.INT32), port("mask", (3,), DType.BOOL)),
            (port("sums", (1,), DType.INT64), port("any", (1,), DType.BOOL)),
        ),
        package(
            "signed scale",
            (port("x", scaled, DType.INT8, (0.1, 3)),),
            (port("y", (1, 256), DType.INT8, (0.0039215689, -128)),),
        ),
        package(
            "unsigned scale",
            (port("x", scaled, DType.UINT8, (0.1, 131)),),
            (port("y", (1, 256), DType.UINT8, (1e-5, 7)),),
        ),
        package(
            "1-weird name",
            tuple(port(name, (2,)) for name in KOTLIN_WORDS),
            tuple(port(name, (2,)) for name in KOTLIN_WORDS),
            signature='sig"$nature\\',
        ),
        package(
            "twenty",
            tuple(port(f"input_{index}", (index + 1,)) for index in range(20)),
            (port("StatefulPartitionedCall:0", (1, 2)), port("StatefulPartitionedCall:1", (1, 3))),
        ),
        package(
            "what run() itself uses",
            tuple(
                port(name, (1, 4), DType.INT8, (0.5, 0))
                for name in ("compiled", "inputBuffers", "quantize", "model", "random", "runs")
            ),
            (port("dequantize", (1,), DType.INT8, (0.5, 0)),),
        ),
        package(
            'Größe 日本語 */ /* "$name" ${x}',
            (port("画像 */ `tick` | $x", (1, 4)),),
            (port('"quoted"\n$y', (1, 3)),),
            labels=('a "b"', "$c ${d}", "ё */ \u202e\n\x07e"),
            judged=verdict(why="*/ class Evil /* [x] `y` $z"),
        ),
        package(
            "thousand classes",
            (port("image", (1, 4)),),
            (port("scores", (1, 1000)),),
            labels=tuple(f"class {index}" for index in range(1000)),
        ),
        # Names that the README's example has too.
        package(
            "worker",
            tuple(port(name, (1,)) for name in ("output", "context", "modelWorker", "fallback")),
            (port("best", (1,)),),
        ),
        *(
            package(name, (port("x", (1,)),), (port("y", (1,)),))
            for name in ("test", "native", "x" * 90)
        ),
    )
