"""Calibration data in every form a user has it in, and everything that may be wrong with it."""

from __future__ import annotations

import re
import struct
import sys
import wave
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edge_quantize.data import Samples, load_samples, range_notes
from edge_quantize.data.fit import fitted
from edge_quantize.errors import InputDataError, MissingExtraError
from edge_quantize.graph.model import DType, Graph, Quantization, Tensor

COUNT = 40


def model(*shapes, classes=3, labels=(), dtype=DType.FLOAT32, quantization=None) -> Graph:
    """Inputs `x0`, `x1`, ... of these shapes (without batch), and an output of classes."""
    tensors = [
        Tensor(number, f"x{number}", (1, *shape), dtype, quantization)
        for number, shape in enumerate(shapes)
    ]
    output = Tensor(len(tensors), "scores", (1, classes), DType.FLOAT32)
    inputs = tuple(range(len(shapes)))
    return Graph("m", (*tensors, output), (), inputs, (output.index,), labels=labels)


def values(*shape, count=COUNT):
    return np.random.default_rng(0).normal(size=(count, *shape)).astype(np.float32)


def classes(count=COUNT):
    return np.arange(count) % 3


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(source, graph, words, **options):
    with pytest.raises(InputDataError, match=words) as caught:
        load_samples(str(source), graph, **options)
    assert "\n" not in str(caught.value)


# Files of arrays.


def test_npz_by_the_inputs_names_with_labels(here):
    one, two = values(4), values(2)
    np.savez(here / "d.npz", x1=two, x0=one, labels=classes())
    found = load_samples("d.npz", model((4,), (2,)))
    np.testing.assert_array_equal(found.inputs[0], one)
    np.testing.assert_array_equal(found.inputs[1], two)
    assert found.labels is not None
    assert found.labels.tolist() == classes().tolist()
    assert found.source == "d.npz"


def test_a_converters_name_for_an_input_is_the_authors_name():
    graph = model((4,))
    tensors = (Tensor(0, "serving_default_image:0", (1, 4), DType.FLOAT32), graph.tensors[1])
    graph = Graph("m", tensors, (), (0,), (1,))
    np.savez("d.npz", image=values(4), extra=values(4))
    refused("d.npz", graph, "d.npz: has 'image', 'extra'; the model's inputs are 'image'")
    np.savez("d.npz", image=values(4))
    assert len(load_samples("d.npz", graph)) == COUNT


@pytest.mark.parametrize("name", ["labels", "label", "targets", "y", "y_test"])
def test_labels_have_one_of_their_usual_names(name):
    np.savez("d.npz", x_test=values(4), **{name: classes()})
    found = load_samples("d.npz", model((4,)))
    assert found.labels is not None
    assert found.labels.dtype == np.int64


def test_arrays_in_order():
    np.savez("d.npz", values(4), values(2))
    assert [a.shape for a in load_samples("d.npz", model((4,), (2,))).inputs] == [(40, 4), (40, 2)]


def test_two_sets_in_one_file_are_refused():
    np.savez("d.npz", x_train=values(4), y_train=classes(), x_test=values(4), y_test=classes())
    refused("d.npz", model((4,)), "several arrays of labels: y_train, y_test")


def test_npy_and_raw_bytes_hold_the_only_input():
    np.save("d.npy", values(4, 4, 1))
    values(4, 4, 1).tofile("d.bin")
    graph = model((4, 4, 1))
    for source in ("d.npy", "d.bin"):
        np.testing.assert_array_equal(load_samples(source, graph).inputs[0], values(4, 4, 1))


@pytest.mark.parametrize("shape", [(4, 4, 1), (4, 4), (16,), (1, 4, 4, 1)])
def test_axes_of_one_and_flat_samples_are_taken(shape):
    graph = model((4, 4, 1))
    found = fitted(graph.tensors[0], values(*shape), "d")
    np.testing.assert_array_equal(found, values(*shape).reshape(COUNT, 4, 4, 1))


def test_channels_first_is_told_with_what_mends_it():
    np.save("d.npy", values(3, 8, 8))
    refused("d.npy", model((8, 8, 3)), r"channels first: x.transpose\(0, 2, 3, 1\)")
    np.save("d.npy", values(8, 8, 3))
    refused("d.npy", model((3, 8, 8)), r"channels last: x.transpose\(0, 3, 1, 2\)")


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (values(5), r"samples have shape \[5\], the model takes \[4\]"),
        (np.zeros((0, 4), np.float32), r"is empty, shape \[0, 4\]"),
        (np.zeros(4, np.float32), "1 sample; at least 2 are needed"),
        (np.full((9, 4), 3.0), "all 9 samples are the same"),
        (np.full((9, 4), "a"), "holds <U1; numbers are needed"),
        (values(4).astype(complex), "holds complex128; numbers are needed"),
        (values(4).astype(np.float64) * 1e300, "infinity, or more than float32 holds"),
        (np.float32(3), r"shape \[\]"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_in_one_line(array, words):
    np.save("d.npy", array)
    refused("d.npy", model((4,)), words)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_are_named_with_the_sample(bad):
    data = values(4)
    data[7, 2] = bad
    data[9, 0] = bad
    np.save("d.npy", data)
    refused("d.npy", model((4,)), "input 'x0': sample 7 and 1 more of 40: holds (NaN|infinity)")


def test_python_objects_and_damage_are_refused(here):
    np.save("d.npy", np.array([{}, []], object), allow_pickle=True)
    refused("d.npy", model((4,)), "damaged, of Python objects")
    (here / "d.npz").write_bytes(b"PK\x03\x04 nothing")
    refused("d.npz", model((4,)), "cannot be read as .npz")
    refused("none.npz", model((4,)), "none.npz: no such file")
    refused("", model((4,)), "no data is named")
    (here / "d.txt").touch()
    refused("d.txt", model((4,)), "not one of .npy, .npz and .bin")


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("any")
    (folder / "w").mkdir()
    for name in ("d.npy", "d.npz", "d.bin", "w/d.wav", "w/d.png"):
        (folder / name).write_bytes(content)
    (folder / "w" / "d.png").rename(folder / "d.png")
    for source in (folder / "d.npy", folder / "d.npz", folder / "d.bin", folder / "w"):
        try:
            load_samples(str(source), model((2000,)))
        except InputDataError:
            continue


def test_float_for_whole_numbers_is_refused():
    np.save("d.npy", values(4))
    refused("d.npy", model((4,), dtype=DType.INT32), "is float32; the model takes int32")
    np.save("d.npy", values(4).astype(np.int64))
    assert load_samples("d.npy", model((4,), dtype=DType.INT32)).inputs[0].dtype == np.int32


def test_a_quantized_input_takes_real_numbers_or_its_own():
    graph = model((4,), dtype=DType.INT8, quantization=Quantization((0.05,), (0,)))
    np.save("d.npy", values(4))
    assert load_samples("d.npy", graph).inputs[0].dtype == np.float32
    np.save("d.npy", (values(4) * 20).astype(np.int64))
    assert load_samples("d.npy", graph).inputs[0].dtype == np.int8
    np.save("d.npy", (values(4) * 200).astype(np.int64))
    refused("d.npy", graph, "outside int8")


# What is odd, and no error.


@pytest.mark.parametrize(
    ("data", "note"),
    [
        (values(4, count=5), "only 5 samples"),
        (np.concatenate([values(4), values(4)[:3]]), "3 of 43 samples are copies of others"),
        (values(4) * np.float32([1, 0, 1, 1]), "input .x0.: 1 of 4 values never change: 1"),
        (np.rint(np.abs(values(4)).clip(0, 3) * 85), r"whole numbers 0\.\.\d+, like raw pictures"),
    ],
)
def test_odd_data_is_noted(data, note):
    np.save("d.npy", data)
    assert any(re.match(f"d.npy: .*{note}", n) for n in load_samples("d.npy", model((4,))).notes)


def test_good_data_is_not_noted():
    np.savez("d.npz", x=values(4), labels=classes())
    assert load_samples("d.npz", model((4,))).notes == ()


@pytest.mark.parametrize(
    ("factor", "note"), [(10, "outside of what the input holds"), (0.01, "use")]
)
def test_data_that_misses_a_quantized_inputs_range_is_noted(factor, note):
    graph = model((4,), dtype=DType.INT8, quantization=Quantization((0.05,), (0,)))
    np.save("d.npy", values(4) * factor)
    (found,) = load_samples("d.npy", graph).notes
    assert note in found


# Labels.


@pytest.mark.parametrize(
    "labels",
    [
        classes(),
        classes()[:, None],
        classes().astype(float),
        np.eye(3)[classes()],
        np.eye(3, dtype=int)[classes()],
    ],
)
def test_class_labels_as_indices_columns_or_one_hot(labels):
    np.savez("d.npz", x=values(4), labels=labels)
    found = load_samples("d.npz", model((4,))).labels
    assert found is not None
    assert (found.dtype, found.tolist()) == (np.int64, classes().tolist())


def test_labels_by_the_models_names():
    names = np.array(["off", "on", "up"])[classes()]
    np.savez("d.npz", x=values(4), labels=names)
    found = load_samples("d.npz", model((4,), labels=("off", "on", "up"))).labels
    assert found is not None
    assert found.tolist() == classes().tolist()
    refused("d.npz", model((4,)), "are names, and the model has none")
    refused("d.npz", model((4,), labels=("a", "b", "c")), "'off' is no class of the model")


def test_targets_stay_real_numbers():
    np.savez("d.npz", x=values(4), targets=values(3))
    found = load_samples("d.npz", model((4,))).labels
    assert found is not None
    np.testing.assert_array_equal(found, values(3))


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (classes()[:-1], r"differ in number: \[39, 40\]"),
        (classes() + 1, r"are 1\.\.3; the model's classes are 0\.\.2 \(do they begin at 1\?\)"),
        (classes() - 1, r"are -1\.\.1; the model's classes are 0\.\.2"),
        (classes() + 0.5, "are fractions"),
        (np.full(COUNT, np.nan), "hold NaN"),
        (np.array([]), "are empty"),
        (values(5), r"have shape \[40, 5\]"),
        (classes().astype(complex), "are complex128"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, words):
    np.savez("d.npz", x=values(4), labels=labels)
    refused("d.npz", model((4,)), words)


def test_missing_labels_are_refused_only_where_they_are_needed():
    np.save("d.npy", values(4))
    assert load_samples("d.npy", model((4,))).labels is None
    refused("d.npy", model((4,)), "has no labels, and accuracy is asked for", labelled=True)


def test_fewer_are_taken_evenly():
    np.savez("d.npz", x=np.arange(400.0).reshape(100, 4), y=np.repeat([0, 1], 50))
    found = load_samples("d.npz", model((4,)), most=10)
    assert found.labels is not None
    assert found.labels.tolist() == [0] * 5 + [1] * 5
    refused("d.npz", model((4,)), "1 samples are asked for", most=1)


# Functions.

FUNCTIONS = """
from __future__ import annotations
import dataclasses
import numpy as np
@dataclasses.dataclass
class Kept:
    size: int
r = np.random.default_rng(0)
x, y = r.normal(size=(40, 4)), np.arange(40) % 3
def array(): return x
def pair(): return x, y
def listed(): return [x], y
def mapping(): return {"labels": y, "x0": x}
def samples():
    from edge_quantize.data import Samples
    return Samples((x,), y)
def one_by_one():
    for row in x: yield row
def labelled():
    for row, label in zip(x, y): yield row, label
def batches():
    for start in range(0, 40, 16): yield x[start:start + 16], y[start:start + 16]
def endless():
    while True: yield r.normal(size=4)
def speaks():
    print("loading")
    return x
def fails():
    return np.zeros(3)[5]
def late():
    import my_other_data
    yield from my_other_data.x
def leaves(): raise SystemExit("no data set here")
def nothing(): return None
def word(): return "x.npy"
def empty(): return iter(())
def ragged(): yield x[0]; yield x[0, :2]
def rows_of_rows(): return {"x": [[1, 2], [1]]}
def mixed(): yield x[0], 1; yield x[1]
"""


@pytest.fixture
def functions(here):
    (here / "my_data.py").write_text(FUNCTIONS)
    (here / "my_other_data.py").write_text("from my_data import x\n")
    yield
    sys.modules.pop("my_data", None)
    sys.modules.pop("my_other_data", None)


@pytest.mark.parametrize("place", ["my_data", "my_data.py"])
@pytest.mark.parametrize(
    "name",
    [
        *("array", "pair", "listed", "mapping", "samples", "x"),
        *("one_by_one", "labelled", "batches", "late"),
    ],
)
@pytest.mark.usefixtures("functions")
def test_a_function_may_return_what_is_at_hand(place, name):
    found = load_samples(f"{place}:{name}", model((4,)))
    assert found.inputs[0].shape == (COUNT, 4)
    assert found.inputs[0].dtype == np.float32
    unlabelled = name in ("array", "one_by_one", "late", "x")
    assert (found.labels is None) == unlabelled
    if found.labels is not None:
        assert found.labels.tolist() == classes().tolist()


@pytest.mark.usefixtures("functions")
def test_an_endless_function_is_read_as_far_as_needed():
    assert len(load_samples("my_data:endless", model((4,)), most=7)) == 7


@pytest.mark.usefixtures("functions")
def test_what_a_function_prints_is_kept_from_stdout(capsys):
    load_samples("my_data:speaks", model((4,)))
    assert capsys.readouterr() == ("", "loading\n")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("fails", r"my_data:fails: IndexError: index 5 .* \(my_data.py, line \d+\)"),
        ("leaves", "my_data:leaves: SystemExit: no data set here"),
        ("nothing", "gives nothing"),
        ("word", "gives str; an array"),
        ("empty", "yields no samples"),
        ("ragged", "ValueError|differ in shape"),
        ("rows_of_rows", "my_data:rows_of_rows: ValueError"),
        ("mixed", "1 labels for 2 samples"),
        ("absent", "my_data has no 'absent'"),
    ],
)
@pytest.mark.usefixtures("functions")
def test_a_function_that_fails_is_told_in_one_line_with_its_name(name, words):
    refused(f"my_data:{name}", model((4,)), words)


def test_modules_that_are_not_there_or_do_not_import(here):
    refused("no_such_module:f", model((4,)), "no file or folder, and no module 'no_such_module'")
    refused("none.py:f", model((4,)), "none.py: no such file")
    (here / "broken_data.py").write_text("import surely_not_there\n")
    refused("broken_data:f", model((4,)), "ModuleNotFoundError: No module named 'surely_not_there'")
    (here / "wrong_data.py").write_text("def f(:\n")
    refused("wrong_data:f", model((4,)), "SyntaxError")


@pytest.mark.usefixtures("functions")
def test_the_import_path_is_left_as_it_was():
    before = list(sys.path)
    load_samples("my_data:array", model((4,)))
    assert sys.path == before


# Pictures.


def picture(path, size=(8, 8), color=None, mode="RGB"):
    path.parent.mkdir(exist_ok=True, parents=True)
    random = np.random.default_rng(zlib.crc32(path.name.encode()))
    data = random.integers(0, 255, (size[1], size[0], 3)).astype(np.uint8)
    image = Image.fromarray(data) if color is None else Image.new("RGB", size, color)
    image.convert(mode).save(path)


@pytest.mark.parametrize(
    ("scale", "white"), [(None, 1.0), ("0..1", 1.0), ("-1..1", 1.0), ("0..255", 255.0)]
)
def test_pictures_take_the_scale_that_is_asked_for(here, scale, white):
    picture(here / "p" / "a.png", color=(255, 255, 255))
    picture(here / "p" / "b.png", color=(0, 0, 0))
    found = load_samples("p", model((8, 8, 3)), scale=scale)
    assert found.inputs[0][0].min() == white
    assert found.inputs[0][1].max() == (-1 if scale == "-1..1" else 0)
    said = any("pictures are scaled to 0..1; name the model's own scale" in n for n in found.notes)
    assert said == (scale is None)


def test_subfolders_are_classes_in_the_order_of_the_models_labels_or_sorted(here):
    for name in ("cat", "dog", "ant"):
        for number in range(2):
            picture(here / "p" / name / f"{name}{number}.jpg")
    by_labels = load_samples("p", model((8, 8, 3), labels=("dog", "cat", "ant")))
    assert by_labels.labels is not None
    assert by_labels.labels.tolist() == [2, 2, 1, 1, 0, 0]
    by_order = load_samples("p", model((8, 8, 3)))
    assert by_order.labels is not None
    assert by_order.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert any("ant = 0, cat = 1, dog = 2" in note for note in by_order.notes)
    refused("p", model((8, 8, 3), labels=("a", "b", "c")), "folder 'ant' is no class of the model")
    refused("p", model((8, 8, 3), classes=5), "3 class folders for 5 outputs")


def test_folders_may_be_named_by_class_number(here):
    picture(here / "p" / "4" / "a.png")
    picture(here / "p" / "10" / "b.png")
    found = load_samples("p", model((8, 8, 3), classes=12))
    assert found.labels is not None
    assert found.labels.tolist() == [10, 4]


def test_a_picture_covers_the_input_and_is_cut_around_the_middle(here):
    wide = Image.new("RGB", (40, 10), (255, 0, 0))
    wide.paste((0, 255, 0), (15, 0, 25, 10))
    (here / "p").mkdir()
    wide.save(here / "p" / "a.png")
    picture(here / "p" / "b.png")
    found = load_samples("p", model((5, 5, 3))).inputs[0][0]
    assert found[:, 1:4, 1].min() > 0.9  # green alone is left
    assert found[:, 1:4, 0].max() < 0.1


def test_grey_and_channels_first_models_get_their_layout(here):
    picture(here / "p" / "a.png")
    picture(here / "p" / "b.png")
    last = load_samples("p", model((8, 8, 3))).inputs[0]
    first = load_samples("p", model((3, 8, 8))).inputs[0]
    np.testing.assert_array_equal(first, last.transpose(0, 3, 1, 2))
    assert load_samples("p", model((8, 8, 1))).inputs[0].shape == (2, 8, 8, 1)


def test_folders_that_do_not_serve_are_refused(here):
    (here / "p").mkdir()
    refused("p", model((8, 8, 3)), "no .wav, .png, .jpg, .jpeg in it")
    (here / "p" / "readme.txt").touch()
    picture(here / "p" / "a.png")
    picture(here / "p" / "b.png")
    assert any("1 other files" in n for n in load_samples("p", model((8, 8, 3))).notes)
    refused("p", model((8, 8, 3)), r"no scale '0..2'; one of 0\.\.1", scale="0..2")
    refused("p", model((8, 8, 4)), "is no picture of 1 or 3 channels")
    refused("p", model((8, 8, 3), (2,)), "the model has 2 inputs; a folder gives one only")
    picture(here / "p" / "cat" / "c.png")
    refused("p", model((8, 8, 3)), "files lie beside the class folder 'cat'")
    (here / "p" / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n and nothing more")
    (here / "p" / "cat" / "c.png").unlink()
    refused("p", model((8, 8, 3)), "a.png: no picture that can be read")
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(here / "p" / "a.png")
    refused("p", model((8, 8, 3)), "more than 8 bits a channel")


def test_without_pillow_the_install_line_is_said(here, monkeypatch):
    picture(here / "p" / "a.png")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'edge-autoglm\[images\]'"):
        load_samples("p", model((8, 8, 3)))


def test_a_scale_without_pictures_is_refused():
    np.save("d.npy", values(4))
    refused("d.npy", model((4,)), "is for folders of pictures only", scale="0..1")


# Recordings.


def recording(path, length=2000, rate=8000, channels=1, width=2):
    path.parent.mkdir(exist_ok=True, parents=True)
    random = np.random.default_rng(length)
    waves = random.uniform(-0.9, 0.9, (length, channels))
    if width == 1:
        raw = (waves * 127 + 128).astype(np.uint8).tobytes()
    else:
        whole = (waves * 2 ** (8 * width - 1)).astype("<i8").reshape(-1)
        raw = b"".join(struct.pack("<q", int(v))[:width] for v in whole)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(raw)
    return waves


@pytest.mark.parametrize(("width", "step"), [(1, 1 / 64), (2, 1e-4), (3, 1e-6), (4, 1e-6)])
def test_recordings_of_every_width_are_minus_one_to_one(here, width, step):
    waves = recording(here / "w" / "a.wav", width=width)
    recording(here / "w" / "b.wav", length=2001, width=width)
    found = load_samples("w", model((2000, 1))).inputs[0]
    assert found.shape == (2, 2000, 1)
    np.testing.assert_allclose(found[0], waves, atol=step)


def test_short_long_and_stereo_recordings_are_noted(here):
    recording(here / "w" / "a.wav", length=1500)
    recording(here / "w" / "b.wav", length=2500, channels=2)
    found = load_samples("w", model((2000,)))
    assert (found.inputs[0][0, 1500:] == 0).all()
    notes = "; ".join(found.notes)
    assert "1 of 2 recordings are shorter and get silence at the end" in notes
    assert "1 of 2 recordings are longer and lose their end" in notes
    assert "1 of 2 recordings are mixed to 1 channel" in notes


def test_recordings_for_a_model_of_features_need_a_function(here):
    recording(here / "w" / "a.wav")
    refused("w", model((49, 10, 1)), "no raw audio; features .*: give MODULE:FUNCTION")
    refused("w", model((640,)), "no raw audio")


def test_recordings_of_another_rate_are_refused(here):
    recording(here / "w" / "a.wav", length=4000)
    recording(here / "w" / "b.wav", length=4001)
    refused("w", model((2000,)), "all recordings are longer than the model's 2000 samples")
    recording(here / "w" / "b.wav", length=2000, rate=16000)
    refused("w", model((2000,)), "sample rates differ, 8000 Hz in a.wav and 16000 Hz in b.wav")
    picture(here / "w" / "c.png")
    refused("w", model((2000,)), "recordings and pictures; keep one kind")


def test_a_real_recording_is_read(shared_data, here):
    for name in ("no.wav", "silence.wav"):
        (here / "w").mkdir(exist_ok=True)
        (here / "w" / name).write_bytes((shared_data / "audio" / name).read_bytes())
    found = load_samples("w", model((16000,)))
    assert found.inputs[0].shape == (2, 16000)
    assert 0.1 < np.abs(found.inputs[0][0]).max() <= 1


def test_samples_of_a_function_keep_their_labels():
    """`Samples` themselves refuse what differs in number."""
    with pytest.raises(InputDataError, match="differ in number"):
        Samples((values(4),), classes(9))


def test_a_scale_that_was_chosen_is_not_doubted(here):
    for name in ("a.png", "b.png"):
        picture(here / "p" / name)
    graph = model((8, 8, 3))
    doubts = [n for n in load_samples("p", graph, scale="0..255").notes if "raw pictures" in n]
    assert doubts == []


def test_samples_of_a_float_model_are_held_against_its_quantized_twin():
    found = Samples((values(4),), None, "d.npy")
    twin = model((4,), dtype=DType.INT8, quantization=Quantization((1.0,), (-128,)))
    (note,) = range_notes(twin, found)
    assert "outside of what the input holds, 0..255" in note
    fitting = model((4,), dtype=DType.INT8, quantization=Quantization((0.04,), (0,)))
    assert range_notes(fitting, found) == ()
