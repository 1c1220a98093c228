"""The model as the templates see it: names, inputs, outputs, class names; what is said of it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from edge_export.mobile.model import MobileModel, Package
from edge_export.mobile.naming import Style, identifier
from edge_export.mobile.wording import (
    cpu_words,
    first_wrong_words,
    rounds,
    sentence,
    works_words,
)

from .ports import HARD_KEYWORDS, VALUE_NAMES, KotlinPort, kotlin_ports
from .text import call, comment

LITERT = "2.3.0"
_JAVA = """
abstract assert boolean byte case catch char const default double enum extends final finally float
goto implements import instanceof int long native new private protected public short static strictfp
switch synchronized throws transient void volatile
"""
# Types that the generated class and its test name; a model's own class must not hide them, nor be
# hidden by what they import.
_TYPES = """
Accelerator Allowed AndroidJUnit4 Any Array AssetManager AtomicBoolean AutoCloseable Boolean
BooleanArray Bundle Byte ByteArray ByteBuffer ByteOrder Companion CompiledModel Context Double
DoubleArray Environment Exception Executors Fallback FallbackListener File Float FloatArray Golden
IllegalArgumentException IllegalStateException Inputs InstrumentationRegistry Int IntArray IntRange
JvmOverloads JvmStatic Label LinkageError List LiteRtAccelerator LiteRtException Log Long LongArray
Map Options Output Precision Priority Random RunWith Set String System TensorBuffer Test Throwable
Throws Unit Use
"""
# Names that Windows keeps for devices, with any ending.
_DEVICES = frozenset(
    {"aux", "con", "nul", "prn", *(f"{p}{n}" for p in ("com", "lpt") for n in "123456789")}
)
# Kotlin compiles a list of so many strings in one method; longer ones are read from an asset.
_LABELS_IN_CODE = 500


@dataclass(frozen=True)
class Names:
    """What the module's parts are called: `word` in file names, package and asset."""

    shown: str
    word: str
    package: str
    type: str
    variable: str

    @property
    def folder(self) -> str:
        return self.package.replace(".", "/")


def names(model: MobileModel, taken: Collection[str] = ()) -> Names:
    """Valid for Kotlin, Java (Android's R class), Gradle and every file system. `taken` are the
    variables of the examples."""
    word = identifier(model.name, HARD_KEYWORDS | _DEVICES | {*_JAVA.split()}, Style.SNAKE, "model")
    barred = {*_TYPES.split(), *(device.capitalize() for device in _DEVICES)}
    kind = identifier(model.name, barred, Style.UPPER_CAMEL, "model")
    variable = identifier(model.name, {*VALUE_NAMES, *taken}, Style.LOWER_CAMEL, "model")
    if variable in taken:
        variable = f"{variable}Model"
    return Names(comment(model.name) or word, word, f"edgeautoglm.{word}", kind, variable)


@dataclass(frozen=True)
class KotlinModel:
    """The model as the templates see it. `labels` are empty where they do not fit the output."""

    model: MobileModel
    names: Names
    inputs: tuple[KotlinPort, ...]
    outputs: tuple[KotlinPort, ...]
    labels: tuple[str, ...]
    remark: str  # why there are no labels though the model has some

    @property
    def labels_file(self) -> str | None:
        """The asset that holds the labels, where the code does not."""
        return f"{self.names.word}.labels.txt" if len(self.labels) > _LABELS_IN_CODE else None

    @property
    def call(self) -> list[str]:
        """The lines of a call of `run` with its inputs as variables."""
        head = f"val output = {self.names.variable}.run"
        if len(self.inputs) == 1:
            return call(head, [self.inputs[0].name])
        return call(head, [f"{port.name} = {port.name}" for port in self.inputs])


def kotlin_model(model: MobileModel) -> KotlinModel:
    """Raises MobileError for inputs and outputs that Kotlin cannot write or read."""
    inputs, outputs = kotlin_ports(model)
    # A label is a line of a file and of a screen.
    labels = tuple(" ".join(label.split()) for label in model.labels)
    remark = ""
    if labels and len(outputs) != 1:
        remark = f"The model names {len(labels)} classes for {len(outputs)} outputs"
    elif labels and outputs[0].elements != len(labels):
        remark = f"The model names {len(labels)} classes for {outputs[0].elements} values"
    elif labels and outputs[0].array != "FloatArray":
        remark = f"The model's output is {outputs[0].dtype.value} without a scale: no scores"
    named = names(model, [port.name for port in inputs])
    return KotlinModel(model, named, inputs, outputs, () if remark else labels, remark)


def usage(kotlin: KotlinModel) -> list[str]:
    """The lines of the smallest use."""
    named = kotlin.names
    lines = [f"val {named.variable} = {named.type}.create(context)", *kotlin.call]
    if kotlin.labels:
        lines.append(f"val best = {named.variable}.top(output, count = 1).first().name")
    return [*lines, f"{named.variable}.close()"]


def options_usage(kotlin: KotlinModel) -> list[str]:
    """The lines of a call of `create` with options."""
    named = kotlin.names
    return [
        f"val {named.variable} = {named.type}.create(",
        "    context,",
        f"    {named.type}.Options(",
        f"        priority = {named.type}.Priority.LOW,",
        "        programCache = context.codeCacheDir,",
        "    ),",
        ") { fallback -> println(fallback.reason) }",
    ]


def verdict_line(package: Package) -> str:
    """The verdict in one line, with what it leaves open."""
    verdict = package.verdict
    head = {
        "right": "Checked: the GPU computes what the CPU does.",
        "wrong": "WRONG ON THE GPU, and written all the same (--force).",
        "refused": "THE GPU BACKEND REFUSED IT, and it was written all the same (--force).",
        "unchecked": "UNCHECKED: nobody compared the GPU's result with the CPU's.",
    }[verdict.state]
    if rounds(verdict):
        head = "Checked: the GPU computes what the CPU does, apart from rounding."
    first = first_wrong_words(verdict.first_wrong) if verdict.first_wrong else ""
    parts = [head, verdict.why, cpu_words(package.delegation), first, works_words(verdict)]
    parts += [*verdict.notes, *verdict.limits]
    return comment(" ".join(filter(None, map(sentence, parts))))
