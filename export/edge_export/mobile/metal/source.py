"""The Swift of one package: a class with typed input and output, and what carries it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge_export.mobile.model import Golden, MobileModel, Package
from edge_export.mobile.naming import Style, identifier
from edge_export.mobile.template import fill, load
from edge_export.mobile.wording import (
    UNCHECKED_METAL,
    compared,
    cpu_words,
    half_words,
    sentence,
    weights,
)

from .ports import SwiftPort, literal, number, swift_ports
from .text import WIDTH, comment, text
from .words import KEYWORDS, MODULES

TFLITE_VERSION = "2.17.0"
SAVE_SHARED = " (in part with `.shared`)"
_MANNERS = (
    "- Important: An instance is not thread-safe: use it from one serial queue or one actor. Do "
    "not run inferences while the app is in the background: iOS stops GPU work there, and the "
    "delegate does not report it."
)
_FIXED = ("Interpreter.swift", "Loading.swift", "Settings.swift", "TensorCoding.swift")


@dataclass(frozen=True)
class Names:
    """What a package is called: `module` in import lines, `type` the class, `stem` the model's
    file without ".tflite"."""

    module: str
    type: str
    stem: str


def package_names(model: MobileModel) -> Names:
    """Names made of the model's: "1-weird name" -> Model1WeirdNameMetal, Model1WeirdNameModel."""
    base = identifier(model.name, KEYWORDS, Style.UPPER_CAMEL, fallback="model")
    if f"{base}Metal".lower() in {module.lower() for module in MODULES}:
        base = f"Model{base}"
    stem = identifier(model.name, (), Style.SNAKE, fallback="model")
    return Names(f"{base}Metal", base if base.endswith("Model") else f"{base}Model", stem)


@dataclass(frozen=True)
class Source:
    """What every file is made from."""

    package: Package
    names: Names
    inputs: tuple[SwiftPort, ...]
    outputs: tuple[SwiftPort, ...]

    @property
    def marks(self) -> Mapping[str, str]:
        return {
            "Class": self.names.type,
            "Module": self.names.module,
            "File": f"{self.names.stem}.tflite",
            "stem": self.names.stem,
            "tflite": TFLITE_VERSION,
        }

    @property
    def labelled(self) -> bool:
        """Whether the only output has a label for each of its values, and floats to rank by."""
        labels = self.package.model.labels
        return (
            len(self.outputs) == 1
            and len(labels) == self.outputs[0].count
            and self.outputs[0].type in ("Float", "Double")
        )


def source_of(package: Package) -> Source:
    """Raises MobileError where Swift cannot hand over an input or an output."""
    model = package.model
    return Source(
        package,
        package_names(model),
        swift_ports(model.inputs, "input"),
        swift_ports(model.outputs, "output"),
    )


def swift_files(source: Source) -> dict[str, str]:
    """Path in the package -> Swift, `Package.swift` and the tests included."""
    names, golden = source.names, source.package.golden
    folder = f"Sources/{names.module}"
    allowed = f"Whether the GPU may compute in float16; {half_words(source.package.verdict)}."
    precision = {**source.marks, "precision": comment([allowed], 8)}
    precision["shared"] = comment(
        ["What was checked before the export is the model on the GPU as a whole."]
        if compared(source.package.verdict)
        else [],
        8,
    )
    files = {f"{folder}/{name}": fill(load("metal", name), precision) for name in _FIXED}
    files[f"{folder}/{names.type}.swift"] = _model(source)
    files[f"Tests/{names.module}Tests/{names.type}Tests.swift"] = _tests(source)
    resources = ',\n            resources: [.copy("Golden")]' if golden else ""
    files["Package.swift"] = fill(
        load("metal", "Package.swift"), {**source.marks, "testResources": resources}
    )
    return files


def _model(source: Source) -> str:
    return fill(
        load("metal", "Model.swift"),
        {
            **source.marks,
            "about": _about(source),
            "labels": _labels(source),
            "ports": _ports(source),
            "run": _run(source),
            "structs": _structs(source),
        },
    )


def _about(source: Source) -> str:
    package, verdict = source.package, source.package.verdict
    lines = [
        f"The model `{package.model.name}` ({weights(package.model)}) on the GPU, by Metal.",
        "",
    ]
    if not verdict.right:
        lines += [f"- Warning: Not shown to be right on a GPU ({verdict.state}).", ""]
    if verdict.state == "unchecked":
        lines.append(sentence(verdict.why))
    else:
        lines.append(f"Checked before it was exported: {verdict.state}. {sentence(verdict.why)}")
    if compared(verdict):
        lines.append(f"This was {UNCHECKED_METAL}.")
    if package.delegation.refused:
        lines += ["", f"- Warning: {cpu_words(package.delegation, SAVE_SHARED)}"]
    return comment([*lines, "", _MANNERS])


def _labels(source: Source) -> str:
    if not source.labelled:
        return ""
    lines = [
        "    /// The classes, in the output's order.",
        "    public static let labels: [String] = [",
    ]
    lines += [f"        {text(label)}," for label in source.package.model.labels]
    return "\n".join([*lines, "    ]", ""])


def _ports(source: Source) -> str:
    lines = []
    for kind, ports in (("inputs", source.inputs), ("outputs", source.outputs)):
        lines.append(f"    private static let {kind} = [")
        for port in ports:
            shape = ", ".join(map(str, port.port.shape))
            lines += [
                "        TensorPort(",
                f"            name: {text(port.name)}, tensor: {text(port.port.tensor)},",
                (
                    f"            type: {port.constant}, shape: [{shape}], "
                    f"elementSize: {port.port.dtype.itemsize}),"
                ),
            ]
        lines += ["    ]", ""]
    return "\n".join(lines[:-1])


def _run(source: Source) -> str:
    lines = [
        (
            "    private static func run(_ input: Input, on interpreter: ModelInterpreter) throws "
            "-> Output {"
        )
    ]
    for port in source.inputs:
        lines += [f"        {line}" for line in _write(port)]
    lines += ["        try interpreter.invoke()", "        return Output("]
    reads = [f"            {port.name}: {_read(port)}" for port in source.outputs]
    return "\n".join([*lines, ",\n".join(reads) + ")", "    }"])


def _write(port: SwiftPort) -> list[str]:
    value = f"input.{port.name}"
    to = f"toInput: {port.index}"
    if port.quantized:
        return [
            "try interpreter.write(",
            "    TensorCoding.quantized(",
            (
                f"        {value}, as: {port.stored}.self, scale: {port.scale}, "
                f"zeroPoint: {port.zero_point},"
            ),
            f"        name: {text(port.name)}),",
            f"    {to})",
        ]
    if port.constant == "kTfLiteFloat16":
        value = f"TensorCoding.halves({value})"
    elif port.type == "Bool":
        value = f"{value}.map {{ $0 ? UInt8(1) : UInt8(0) }}"
    return [f"try interpreter.write({value}, {to})"]


def _read(port: SwiftPort) -> str:
    read = f"try interpreter.read({port.stored}.self, fromOutput: {port.index})"
    if port.quantized:
        return (
            f"TensorCoding.real(\n                {read},\n"
            f"                scale: {port.scale}, zeroPoint: {port.zero_point})"
        )
    if port.constant == "kTfLiteFloat16":
        return f"TensorCoding.floats({read})"
    return f"{read}.map {{ $0 != 0 }}" if port.type == "Bool" else read


def _structs(source: Source) -> str:
    lines = ["    /// The input of one inference.", "    public struct Input: Equatable {"]
    for port in source.inputs:
        lines += [*_documented(port, 8), f"        public var {port.name}: [{port.type}]"]
    lines += ["", "        /// The input of one inference.", "        ///"]
    lines += _parameters(source.inputs)
    lines += _signature(source.inputs)
    lines += [f"            self.{port.name} = {port.name}" for port in source.inputs]
    lines += ["        }", "", "        /// Zeros, of the right size."]
    lines += ["        public static var zeros: Input {", "            return Input("]
    zeros = [
        f"                {port.name}: [{port.type}](repeating: {port.zero}, "
        f"count: {literal(port.count)})"
        for port in source.inputs
    ]
    lines += [",\n".join(zeros) + ")", "        }", "    }", ""]
    lines += ["    /// The output of one inference.", "    public struct Output: Equatable {"]
    for port in source.outputs:
        lines += [*_documented(port, 8), f"        public let {port.name}: [{port.type}]"]
    if source.labelled:
        lines += ["", *_top(source.names.type, source.outputs[0])]
    return "\n".join([*lines, "    }"])


def _top(type_name: str, port: SwiftPort) -> list[str]:
    return [
        "        /// The classes with the highest scores, the best first.",
        "        ///",
        "        /// - Parameter count: How many at most.",
        f"        public func top(_ count: Int = 5) -> [(label: String, score: {port.type})] {{",
        f"            return zip({type_name}.labels, {port.name})",
        "                .sorted { $0.1 > $1.1 }",
        "                .prefix(max(count, 0))",
        "                .map { (label: $0.0, score: $0.1) }",
        "        }",
    ]


def _documented(port: SwiftPort, indent: int) -> list[str]:
    return comment([port.document()], indent).splitlines()


def _parameters(ports: Sequence[SwiftPort]) -> list[str]:
    if len(ports) == 1:
        given = comment([f"- Parameter {ports[0].name}: {ports[0].document()}"], 8)
        return given.splitlines()
    lines = ["        /// - Parameters:"]
    for port in ports:
        lines += comment([f"  - {port.name}: {port.document()}"], 8).splitlines()
    return lines


def _signature(ports: Sequence[SwiftPort]) -> list[str]:
    parameters = [f"{port.name}: [{port.type}]" for port in ports]
    line = f"        public init({', '.join(parameters)}) {{"
    if len(line) <= WIDTH:
        return [line]
    listed = ",\n".join(f"            {parameter}" for parameter in parameters)
    return ["        public init(", listed, "        ) {"]


def _tests(source: Source) -> str:
    sizes = [
        f"        XCTAssertEqual(output.{port.name}.count, {literal(port.count)})"
        for port in source.outputs
    ]
    golden = source.package.golden
    return fill(
        load("metal", "Tests.swift"),
        {
            **source.marks,
            "expected": _expected(source),
            "sizes": "\n".join(sizes),
            "first": source.inputs[0].name,
            "golden": _golden(source, golden) if golden else "",
        },
    )


def _expected(source: Source) -> str:
    """Where `Placement.gpuOrCPU` leads to, after the delegation."""
    return "cpu" if source.package.delegation.refused else "gpu"


def _golden(source: Source, golden: Golden) -> str:
    arguments = [
        f'                {port.name}: try golden("input{port.index}", as: {_held(port)}.self)'
        + (".map { $0 != 0 }" if port.type == "Bool" else "")
        for port in source.inputs
    ]
    comparisons = []
    for port, tolerance in zip(source.outputs, golden.tolerances, strict=True):
        mapped = ".map { $0 ? 1 : 0 }" if port.type == "Bool" else ".map(Double.init)"
        comparisons += [
            "        assertClose(",
            f"            output.{port.name}{mapped},",
            (
                f'            try golden("output{port.index}", as: {_held(port)}.self)'
                ".map(Double.init),"
            ),
            f"            within: {number(tolerance)})",
        ]
    return fill(
        load("metal", "Golden.swift"),
        {
            **source.marks,
            "arguments": ",\n".join(arguments),
            "comparisons": "\n".join(comparisons),
        },
    )


def _held(port: SwiftPort) -> str:
    return "UInt8" if port.type == "Bool" else port.type
