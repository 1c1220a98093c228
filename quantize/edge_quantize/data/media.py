"""Folders of recordings or pictures; subfolders are classes.

Pictures are turned upright, scaled (bilinear, averaging) until they cover the model's input, and
cut to it around the middle. Recordings are mixed to the input's channels; shorter ones get silence
at the end, longer ones lose their end.
"""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_quantize.errors import InputDataError, MissingExtraError
from edge_quantize.graph.model import Graph
from edge_quantize.inputs import MOST_DATA_BYTES

from .fit import inner_shape

SCALES = {"0..1": (0.0, 1.0), "-1..1": (-1.0, 1.0), "0..255": (0.0, 255.0)}
DEFAULT_SCALE = "0..1"
_SOUND = (".wav",)
_PICTURES = (".png", ".jpg", ".jpeg")
_SHORTEST_AUDIO = 1000  # samples; a shorter input takes features, whatever its rank

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]
Read = tuple[tuple[Array, ...], Array | None, tuple[str, ...]]


def read_folder(path: Path, graph: Graph, scale: str | None, most: int | None) -> Read:
    """(inputs, labels or None, notes). Files are read in the order of their names.

    Raises InputDataError, and MissingExtraError for pictures without Pillow.
    """
    files, classes, notes = _files(path, graph)
    sound = {file.suffix.lower() in _SOUND for file in files}
    if len(sound) > 1:
        raise InputDataError(f"{path}: holds recordings and pictures; keep one kind")
    if len(graph.inputs) != 1:
        raise InputDataError(
            f"{path}: the model has {len(graph.inputs)} inputs; a folder gives one only"
        )
    if most is not None and len(files) > most:
        # Before they are read, and evenly: neighbours are of one class.
        notes.append(thinned(path, most, len(files)))
        rows = np.linspace(0, len(files) - 1, most).round().astype(int)
        files, classes = [files[row] for row in rows], [classes[row] for row in rows]
    needed = 4 * len(files) * graph.tensors[graph.inputs[0]].elements
    if needed > MOST_DATA_BYTES:
        raise InputDataError(
            f"{path}: {len(files)} files take {needed >> 20} MiB, more than "
            f"{MOST_DATA_BYTES >> 20}; use fewer samples"
        )
    shape = inner_shape(graph.tensors[graph.inputs[0]])
    if sound.pop():
        if scale is not None:
            raise InputDataError(f"{path}: recordings are scaled to -1..1; {scale} is for pictures")
        array, more = _recordings(files, shape, path)
    else:
        array, more = _pictures(files, shape, scale or DEFAULT_SCALE, path), []
        if scale is None:
            notes.append(
                f"{path}: pictures are scaled to {DEFAULT_SCALE}; name the model's own scale "
                f"({', '.join(SCALES)}) to be sure"
            )
    labels = None if classes[0] is None else np.array(classes, np.int64)
    return (array,), labels, tuple(notes + more)


def thinned(source: Path | str, used: int, count: int) -> str:
    """The note that not all of the data is used."""
    return f"{source}: using {used} of {count} samples evenly; --samples {count} takes all"


def _files(path: Path, graph: Graph) -> tuple[list[Path], list[int | None], list[str]]:
    """Files and the class of each, None where there are no classes."""
    try:
        entries = sorted(e for e in path.iterdir() if not e.name.startswith("."))
        here, other = _media(entries)
        folders = [entry for entry in entries if entry.is_dir()]
        inside = {folder: _media(sorted(folder.iterdir())) for folder in folders}
    except OSError as error:
        raise InputDataError(f"{path}: {error.strerror or 'cannot be read'}") from error
    folders = [folder for folder in folders if inside[folder][0]]
    other += sum(inside[folder][1] for folder in inside)
    kinds = ", ".join(_SOUND + _PICTURES)
    if here and folders:
        raise InputDataError(
            f"{path}: files lie beside the class folder '{folders[0].name}'; either all in "
            "folders named by class, or none"
        )
    if not here and not folders:
        raise InputDataError(f"{path}: no {kinds} in it or in its subfolders")
    notes = [f"{path}: {other} other files are left out"] if other else []
    if here:
        return here, [None] * len(here), notes
    indices, order = _class_indices([folder.name for folder in folders], graph, path)
    notes += order
    pairs = [(file, indices[folder.name]) for folder in folders for file in inside[folder][0]]
    return [file for file, _ in pairs], [index for _, index in pairs], notes


def _media(entries: list[Path]) -> tuple[list[Path], int]:
    """Recordings and pictures, and how many other files there are."""
    files = [e for e in entries if e.is_file() and not e.name.startswith(".")]
    found = [file for file in files if file.suffix.lower() in _SOUND + _PICTURES]
    return found, len(files) - len(found)


def _class_indices(
    names: list[str], graph: Graph, path: Path
) -> tuple[dict[str, int | None], list[str]]:
    classes = graph.tensors[graph.outputs[0]].elements
    classes = 2 if classes == 1 else classes
    if graph.labels:
        unknown = [name for name in names if name not in graph.labels]
        if unknown:
            raise InputDataError(
                f"{path}: folder '{unknown[0]}' is no class of the model; its classes are "
                + ", ".join(graph.labels[:12])
            )
        return {name: graph.labels.index(name) for name in names}, []
    if all(name.isascii() and name.isdigit() for name in names):
        numbers: dict[str, int | None] = {name: int(name) for name in names}
        return numbers, []
    if len(names) != classes:
        raise InputDataError(
            f"{path}: {len(names)} class folders for {classes} outputs, and the model has no "
            "labels to tell which; name the folders by class number, or give the labels"
        )
    order = ", ".join(f"{name} = {number}" for number, name in enumerate(names[:4]))
    more = ", ..." if len(names) > 4 else ""
    return (
        {name: number for number, name in enumerate(names)},
        [f"{path}: the model has no labels; classes are the folders as sorted, {order}{more}"],
    )


def _recordings(files: list[Path], shape: tuple[int, ...], path: Path) -> tuple[Floats, list[str]]:
    sizes = [n for n in shape if n != 1] or [1]
    stereo = len(sizes) == 2 and shape[-1] == 2
    if (len(sizes) != 1 and not stereo) or sizes[0] < _SHORTEST_AUDIO:
        raise InputDataError(
            f"{path}: the model takes {list(shape)}, which is no raw audio; features have to be "
            "made as for training: give MODULE:FUNCTION that returns them"
        )
    length, channels = sizes[0], 2 if stereo else 1
    rates: dict[int, Path] = {}
    short = long = mixed = 0
    found = np.zeros((len(files), length, channels), np.float32)
    for row, file in enumerate(files):
        values, rate = _wav(file)
        rates.setdefault(rate, file)
        if values.shape[1] != channels:
            mixed += 1
            values = np.repeat(values.mean(axis=1, keepdims=True), channels, axis=1)
        short, long = short + (len(values) < length), long + (len(values) > length)
        found[row, : min(length, len(values))] = values[:length]
    if len(rates) > 1:
        (one, first), (two, second) = list(rates.items())[:2]
        raise InputDataError(
            f"{path}: sample rates differ, {one} Hz in {first.name} and {two} Hz in "
            f"{second.name}; bring all to the model's"
        )
    if short == len(files) or long == len(files):
        seconds = length / next(iter(rates))
        raise InputDataError(
            f"{path}: all recordings are {'shorter' if short else 'longer'} than the model's "
            f"{length} samples ({seconds:.2g} s at {next(iter(rates))} Hz); is that its rate?"
        )
    notes = [
        f"{path}: {number} of {len(files)} recordings {what}"
        for number, what in (
            (short, "are shorter and get silence at the end"),
            (long, "are longer and lose their end"),
            (mixed, f"are mixed to {channels} channel{'s' if channels > 1 else ''}"),
        )
        if number
    ]
    return found.reshape(len(files), *shape), notes


def _wav(file: Path) -> tuple[Floats, int]:
    """Values -1..1 `[frames, channels]`, and the sample rate."""
    try:
        with wave.open(str(file), "rb") as reader:
            channels, width, rate = (
                reader.getnchannels(), reader.getsampwidth(), reader.getframerate(),
            )  # fmt: skip
            raw = np.frombuffer(reader.readframes(reader.getnframes()), np.uint8)
    except OSError as error:
        raise InputDataError(f"{file}: {error.strerror or 'cannot be read'}") from error
    except (wave.Error, EOFError, RuntimeError, ZeroDivisionError) as error:
        raise InputDataError(
            f"{file}: no PCM .wav that can be read ({error or 'damaged'}); 16-bit PCM is best"
        ) from error
    if width not in (1, 2, 3, 4) or not channels:
        raise InputDataError(f"{file}: {8 * width} bits a sample; 16-bit PCM is best")
    raw = raw[: len(raw) // (width * channels) * width * channels].reshape(-1, width)
    if width == 1:  # the only unsigned one
        values = (raw[:, 0].astype(np.float32) - 128) / 128
    else:
        wide = np.zeros((len(raw), 4), np.uint8)
        wide[:, 4 - width :] = raw
        values = wide.view("<i4")[:, 0].astype(np.float64) / 2**31
    return values.reshape(-1, channels).astype(np.float32), rate


def _pictures(files: list[Path], shape: tuple[int, ...], scale: str, path: Path) -> Floats:
    try:
        # An extra, for those who have pictures.
        from PIL import Image, ImageOps
    except ImportError as error:
        raise MissingExtraError(
            f"{path}: pictures need Pillow: pip install 'edge-autoglm[images]'"
        ) from error
    first = len(shape) == 3 and shape[0] in (1, 3) and shape[2] not in (1, 3)
    height, width, channels = (*shape[1:], shape[0]) if first else (*shape, 1, 1, 1)[:3]
    if len(shape) not in (2, 3) or channels not in (1, 3):
        raise InputDataError(
            f"{path}: the model takes {list(shape)}, which is no picture of 1 or 3 channels; give "
            "MODULE:FUNCTION that returns such arrays"
        )
    low, high = SCALES[scale]
    found = np.empty((len(files), height, width, channels), np.float32)
    for row, file in enumerate(files):
        try:
            with Image.open(file) as opened:
                if opened.mode.startswith(("I", "F")):
                    raise InputDataError(f"{file}: more than 8 bits a channel; convert it first")
                upright = ImageOps.exif_transpose(opened).convert("L" if channels == 1 else "RGB")
                fit = ImageOps.fit(upright, (width, height), Image.Resampling.BILINEAR)
                found[row] = np.asarray(fit, np.float32).reshape(height, width, channels)
        # Pillow raises these for damaged files, and SyntaxError for some broken PNGs.
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise InputDataError(f"{file}: no picture that can be read") from error
    found *= (high - low) / 255
    found += low
    return (found.transpose(0, 3, 1, 2) if first else found).reshape(len(files), *shape)
