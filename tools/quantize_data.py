"""What the quantization figures are measured on: real recordings and photographs, each set in two
parts without a sample in common. Models and recordings lie in a folder of data
(`$EDGE_AUTOGLM_DATA`); the photographs are scikit-learn's own two.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.fft import dct
from scipy.io import wavfile
from sklearn.datasets import load_sample_images

from edge_quantize.data import Samples

Floats = npt.NDArray[np.float32]

_RATE = 16_000  # Hz, of every recording
_WINDOW, _HOP, _FFT = 480, 320, 512  # samples: 30 ms, 20 ms
_MEL_BINS, _MEL_LOW, _MEL_HIGH = 40, 20.0, 4000.0  # Hz
_COEFFICIENTS = 10
_SHIFT = 1600  # samples: 100 ms either way, as the model was trained


def machine_sound(folder: Path) -> tuple[Samples, Samples]:
    """ad: windows 0-97 of a machine's recording, and 98-195. A window is five frames of 128 log-mel
    bins, 640 values, and begins one frame after the one before: the last four windows of the first
    part share frames, at other places, with the first four of the second."""
    path = folder / "mlperf_tiny" / "ad_normal_id_01_00000000.bin"
    frames = np.fromfile(path, "<f4").reshape(-1, 128)
    windows = np.stack([frames[i : i + 5].reshape(-1) for i in range(len(frames) - 4)])
    samples = Samples((windows,), source=path.name)
    return samples.take(slice(0, 98)), samples.take(slice(98, 196))


def speech(folder: Path, count: int = 32) -> tuple[Samples, Samples]:
    """kws: features of the words "no" and silence to calibrate on, of "marvin" to measure on.

    Each recording gives `count` samples: shifted by up to 100 ms, with up to a tenth of noise, as
    the model was trained.
    """
    recordings = {name: _recording(folder / "audio" / f"{name}.wav") for name in _SPOKEN}
    random = np.random.default_rng(1)

    def features(names: tuple[str, ...]) -> Samples:
        rows = []
        for name in names:
            for channel in recordings[name]:
                for _ in range(count // len(recordings[name])):
                    shift = int(random.integers(-_SHIFT, _SHIFT + 1))
                    noise = random.uniform(0, 0.1) * random.standard_normal(_RATE)
                    rows.append(mfcc(np.roll(channel, shift) + noise))
        return Samples((np.stack(rows),), source=", ".join(names))

    return features(("no", "silence")), features(("marvin",))


_SPOKEN = ("no", "silence", "marvin")


def _recording(path: Path) -> Floats:
    """One second, `[channels, 16000]`, its peak at 1."""
    _, sound = wavfile.read(path)
    channels = np.atleast_2d(sound.T.astype(np.float32))
    return channels / np.abs(channels).max()


def mfcc(sound: npt.NDArray[np.floating]) -> Floats:
    """Mel-frequency cepstral coefficients of one second, `[49, 10, 1]`, as MLPerf Tiny's keyword
    model takes them.

    Window 30 ms (Hann, periodic), hop 20 ms, magnitude of a 512-point FFT, 40 triangles between 20
    and 4000 Hz on the scale mel = 1127 ln(1 + f / 700), logarithm, DCT-II (orthonormal but for the
    first coefficient, which is sqrt(2) larger).
    """
    starts = range(0, len(sound) - _WINDOW + 1, _HOP)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_WINDOW) / _WINDOW)
    frames = np.stack([sound[s : s + _WINDOW] * hann for s in starts])
    energies = np.abs(np.fft.rfft(frames, _FFT)) @ _mel_triangles()
    cepstrum = dct(np.log(energies + 1e-6), type=2, norm="ortho")
    cepstrum[:, 0] *= np.sqrt(2)
    return cepstrum[:, :_COEFFICIENTS, None].astype(np.float32)


def _mel_triangles() -> npt.NDArray[np.float64]:
    """`[257, 40]`, each triangle of height 1 on the mel scale."""

    def mel(hertz: npt.NDArray[np.float64] | float) -> npt.NDArray[np.float64]:
        return np.asarray(1127 * np.log1p(np.asarray(hertz) / 700))

    bins = mel(np.arange(_FFT // 2 + 1) * _RATE / _FFT)[:, None]
    edges = np.linspace(mel(_MEL_LOW), mel(_MEL_HIGH), _MEL_BINS + 2)
    low, peak, high = edges[:-2], edges[1:-1], edges[2:]
    triangles = np.minimum((bins - low) / (peak - low), (high - bins) / (high - peak))
    triangles[0] = 0  # the mean of the signal says nothing
    return np.maximum(triangles, 0)


def photographs(size: int, most: float, count: int = 64) -> tuple[Samples, Samples]:
    """ic and vww: square crops of two photographs, `[size, size, 3]`, values 0 to `most`.

    Crops to calibrate on are of the left halves, crops to measure on of the right ones.
    """
    random = np.random.default_rng(2)
    images = load_sample_images().images

    def crops(right: bool) -> Samples:
        rows = []
        for number in range(count):
            image = images[number % len(images)]
            middle = image.shape[1] // 2
            half = image[:, middle:] if right else image[:, :middle]
            side = int(random.integers(size, min(half.shape[:2]) + 1))
            top = int(random.integers(0, half.shape[0] - side + 1))
            left = int(random.integers(0, half.shape[1] - side + 1))
            # Every n-th pixel's neighbourhood averaged would need a library; the nearest serves.
            pick = (np.arange(size) + 0.5) * side / size
            rows.append(half[top + pick.astype(int)][:, left + pick.astype(int)])
        values = np.stack(rows).astype(np.float32) * np.float32(most / 255)
        return Samples((values,), source="right halves" if right else "left halves")

    return crops(right=False), crops(right=True)


def pseudo_random(shape: tuple[int, ...], low: float, high: float, count: int = 32) -> Samples:
    """Uniform noise: a row of its own, since no model was made for it."""
    random = np.random.default_rng(3)
    values = random.uniform(low, high, (count, *shape)).astype(np.float32)
    return Samples((values,), source="pseudo-random")
