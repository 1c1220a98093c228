"""The folder that an app developer takes for iOS.

    DIR/NAME.podspec  Package.swift  README.md  Sources/NAME/*.swift
    DIR/Sources/NAME/Resources/MODEL.tflite  Tests/NAMETests/*.swift  Tests/NAMETests/Golden/*.bin

verdict.json and delegates.json are put beside them by the stage that has the verdict.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_export.errors import MobileError
from edge_export.folder import write_files
from edge_export.mobile.model import Golden, Package
from edge_export.mobile.template import fill, load
from edge_export.mobile.wording import one_line
from edge_quantize.run import real

from .ports import SwiftPort
from .readme import readme
from .source import Source, source_of, swift_files


def write_ios(package: Package, directory: Path) -> tuple[Path, ...]:
    """Writes the package into `directory` and returns what it wrote, relative to it, sorted.

    The same package gives the same bytes. Raises MobileError where Swift cannot hand over an input
    or an output, before anything is written; OSError.
    """
    return write_files(directory, ios_files(package))


def ios_files(package: Package) -> dict[str, bytes]:
    """Path in the package -> content. Raises MobileError as `write_ios` does."""
    source = source_of(package)
    module = source.names.module
    texts = {
        **swift_files(source),
        f"{module}.podspec": _podspec(source),
        "README.md": readme(source),
        "Frameworks/.gitignore": "*.xcframework\n",
    }
    files = {name: text.encode() for name, text in texts.items()}
    files[f"Sources/{module}/Resources/{source.names.stem}.tflite"] = package.model.content
    if package.golden:
        files |= {
            f"Tests/{module}Tests/Golden/{name}.bin": content
            for name, content in _golden_files(source, package.golden).items()
        }
    return files


def _podspec(source: Source) -> str:
    module = source.names.module
    summary = one_line(f"The model {source.package.model.name} on the GPU of an iPhone")
    resources = f"\n    tests.resources = 'Tests/{module}Tests/Golden/*.bin'"
    return fill(
        load("metal", "podspec.rb"),
        {
            **source.marks,
            "summary": summary.replace("\\", "\\\\").replace("'", "\\'"),
            "testResources": resources if source.package.golden else "",
        },
    )


def _golden_files(source: Source, golden: Golden) -> dict[str, bytes]:
    return {
        f"{kind}{port.index}": _as_given(port, content)
        for kind, ports, contents in (
            ("input", source.inputs, golden.inputs),
            ("output", source.outputs, golden.outputs),
        )
        for port, content in zip(ports, contents, strict=True)
    }


def _as_given(port: SwiftPort, content: bytes) -> bytes:
    """A tensor's content as the arrays of the class hold it: real numbers where it quantizes."""
    dtype = port.port.dtype.numpy.newbyteorder("<")
    values = np.frombuffer(content, dtype)
    if values.size != port.count:
        raise MobileError(f"the golden {port.port.name} has {values.size} values, not {port.count}")
    if port.quantized:
        return real(values, port.port.quantization).astype("<f4").tobytes()
    return values.astype("<f4").tobytes() if port.type == "Float" else content
