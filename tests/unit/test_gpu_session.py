"""A model on the GPU backend: what it computes, and every way in which it can go wrong."""

from __future__ import annotations

import copy
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from cli_tools import environment
from gpu_drivers import CRASHES, HANGS, any_driver, bad_driver, casts, open_shape, relu

from edge_quantize.errors import (
    GpuCompileError,
    GpuRunError,
    GpuUnavailableError,
    InputDataError,
)
from edge_quantize.gpu import Driver, GpuSession, probe, process
from edge_quantize.gpu.process import LiteRtProcess
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.model import DType
from edge_quantize.graph.options import ElementwiseOptions
from edge_quantize.graph.writer import write_tflite

X = np.array([[-1.5, 0.0, 2.25, 70000.0]], np.float32)


@pytest.fixture(scope="module")
def driver() -> Driver:
    return any_driver()


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, empty."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


class TestRuns:
    def test_the_gpu_alone_computes_a_model(self, driver: Driver) -> None:
        with GpuSession(write_tflite(relu()), driver=driver) as session:
            run = session.run([X], repeats=3)
            np.testing.assert_array_equal(run.outputs[0], np.maximum(X, 0))
            assert len(run.seconds) == 3
            assert all(each > 0 for each in run.seconds)
            assert session.ran_on_gpu, session.doubts
            assert session.log.graphs_built == 1
            assert session.runtime.startswith("ai-edge-litert 2.")
            assert 0 < session.peak_bytes < 1 << 30

    def test_a_parents_memory_is_not_the_models(self, driver: Driver) -> None:
        ballast = np.ones(1 << 25)  # 256 MiB
        with GpuSession(write_tflite(relu()), driver=driver) as session:
            assert session.peak_bytes < ballast.nbytes

    def test_swiftshader_computes_in_float32(self, driver: Driver) -> None:
        builder = GraphBuilder("sum")
        x = builder.input("x", (1, 4), dtype=DType.FLOAT32)
        one = builder.constant("one", np.full(4, 1 + 2**-20, np.float32))
        graph = builder.build(
            [builder.operator("ADD", [x, one], ElementwiseOptions(), dtype=DType.FLOAT32)]
        )
        with GpuSession(write_tflite(graph), driver=driver, enforce_float32=True) as session:
            values = session.run([np.zeros((1, 4), np.float32)]).outputs[0]
            assert session.arithmetic == "float32"
            assert (values == np.float32(1 + 2**-20)).all()
        if session.log.software:
            with GpuSession(write_tflite(graph), driver=driver) as session:
                values = session.run([np.zeros((1, 4), np.float32)]).outputs[0]
                assert session.arithmetic == "float32"
                assert (values == np.float32(1 + 2**-20)).all()

    @pytest.mark.parametrize("kind", ["float16", "int8", "uint8", "int16", "int32", "bool"])
    def test_element_types(self, driver: Driver, kind: str) -> None:
        x = np.array([[1, 0, 1, 1]]).astype(kind)
        with GpuSession(casts(DType(kind)), driver=driver) as session:
            real, back = session.run([x]).outputs
            assert session.ran_on_gpu
        np.testing.assert_array_equal(real, x.astype(np.float32))
        np.testing.assert_array_equal(back, x)
        assert back.dtype == x.dtype

    @pytest.mark.parametrize("kind", ["int64", "float64", "uint16", "uint32"])
    def test_element_types_that_only_the_cpu_takes(self, kind: str) -> None:
        x = np.array([[3, 0, 300, 7]]).astype(kind)
        with GpuSession(casts(DType(kind)), ("cpu",)) as session:
            real, back = session.run([x]).outputs
            assert not session.ran_on_gpu
            assert session.arithmetic == "float32"
        np.testing.assert_array_equal(real, x.astype(np.float32))
        np.testing.assert_array_equal(back, x)

    def test_an_open_shape_is_one_unless_it_is_given(self, driver: Driver) -> None:
        model = open_shape(relu((1, 1, 1, 4)), (-1, -1, -1, 4))
        with GpuSession(model, driver=driver) as session:
            assert session.inputs[0]["shape"] == [1, 1, 1, 4]
        with GpuSession(model, driver=driver, resize={0: (2, 3, 5, 4)}) as session:
            x = np.random.default_rng(3).normal(size=(2, 3, 5, 4)).astype(np.float32)
            assert session.outputs[0]["shape"] == [2, 3, 5, 4]
            np.testing.assert_array_equal(session.run([x]).outputs[0], np.maximum(x, 0))

    @pytest.mark.parametrize(
        "resize",
        [{0: (1, 3, 4)}, {0: (1, 3, 5, 7)}, {4: (1, 1, 1, 4)}, {0: (1 << 40, 1, 1, 4)}],
    )
    def test_a_shape_that_does_not_fit_is_refused(
        self, driver: Driver, resize: dict[int, tuple[int, ...]]
    ) -> None:
        model = open_shape(relu((1, 1, 1, 4)), (-1, -1, -1, 4))
        ((index, dims),) = resize.items()
        words = re.escape(f"input {index} cannot have the shape {list(dims)}: ")
        with pytest.raises(GpuCompileError, match=words):
            GpuSession(model, driver=driver, resize=resize)

    def test_each_signature_can_be_chosen(self, driver: Driver) -> None:
        model = two_signatures()
        with GpuSession(model, driver=driver) as session:
            assert session.signature == "first"
            assert session.signatures == ("first", "second")
        with GpuSession(model, driver=driver, signature="second") as session:
            values = {"left": np.float32([[10, 20]]), "right": np.float32([[1, 2]])}
            run = session.run([values[each["key"]] for each in session.inputs])
            np.testing.assert_array_equal(run.outputs[0], [[9, 18]])
            # The graph's order, whatever the signature's is.
            assert [each["key"] for each in session.inputs] == ["left", "right"]
        with pytest.raises(GpuCompileError, match="no signature 'third'; the model has 'first'"):
            GpuSession(model, driver=driver, signature="third")

    def test_inputs_are_checked_before_they_are_sent(self, driver: Driver) -> None:
        with GpuSession(write_tflite(relu()), driver=driver) as session:
            for wrong, words in (
                ([], "0 inputs are given, the model has 1"),
                ([X, X], "2 inputs"),
                ([X.astype(np.float64)], "is float32"),
                ([X[0]], r"\[4\]"),
            ):
                with pytest.raises(InputDataError, match=words):
                    session.run(wrong)
            np.testing.assert_array_equal(session.run([X]).outputs[0], np.maximum(X, 0))

    def test_a_strided_input_is_passed_as_it_looks(self, driver: Driver) -> None:
        with GpuSession(write_tflite(relu()), driver=driver) as session:
            strided = np.arange(8, dtype=np.float32)[None, ::2]
            np.testing.assert_array_equal(session.run([strided]).outputs[0], strided)

    def test_two_sessions_at_once(self, driver: Driver) -> None:
        with (
            GpuSession(write_tflite(relu()), driver=driver) as first,
            GpuSession(casts(DType.INT8), driver=driver) as second,
        ):
            second.run([np.ones((1, 4), np.int8)])
            np.testing.assert_array_equal(first.run([X]).outputs[0], np.maximum(X, 0))


def changed_worker(folder: Path, patch: pytest.MonkeyPatch, before: str, after: str) -> None:
    """The worker with one place of it changed."""
    text = process._WORKER.read_text(encoding="utf-8")
    assert text.count(before) == 1
    worker = folder / "worker.py"
    worker.write_text(text.replace(before, after), encoding="utf-8")
    patch.setattr(process, "_WORKER", worker)


def two_signatures() -> bytes:
    """left - right under two keys; the second has its inputs the other way round."""
    builder = GraphBuilder("difference")
    left = builder.input("left", (1, 2), dtype=DType.FLOAT32)
    right = builder.input("right", (1, 2), dtype=DType.FLOAT32)
    result = builder.operator("SUB", [left, right], ElementwiseOptions(), dtype=DType.FLOAT32)
    model = schema.ModelT.InitFromPackedBuf(write_tflite(builder.build([result])), 0)
    first = model.signatureDefs[0]
    first.signatureKey = b"first"
    second = copy.deepcopy(first)
    second.signatureKey, second.subgraphIndex = b"second", 1
    second.inputs.reverse()
    model.signatureDefs.append(second)
    model.subgraphs.append(copy.deepcopy(model.subgraphs[0]))
    model.subgraphs[1].name = b"second"
    packer = flatbuffers.Builder()
    packer.Finish(model.Pack(packer), b"TFL3")
    return bytes(packer.Output())


class TestNotOnTheGpu:
    def test_what_the_gpu_does_not_take_is_named(self, driver: Driver) -> None:
        with pytest.raises(GpuCompileError, match="does not take CAST") as caught:
            GpuSession(casts(DType.INT64), driver=driver)
        assert "Following operations are not supported" in caught.value.log

    def test_help_from_the_cpu_is_no_run_on_the_gpu(self, driver: Driver) -> None:
        with GpuSession(casts(DType.INT64), ("gpu", "cpu"), driver=driver) as session:
            x = np.array([[1, 2, 3, 4]], np.int64)
            np.testing.assert_array_equal(session.run([x]).outputs[1], x)
            assert not session.ran_on_gpu
            assert any("left to the CPU (CAST)" in each for each in session.doubts)

    def test_a_model_without_operators_ran_nowhere(self, driver: Driver) -> None:
        """LiteRT calls it fully accelerated, and gives back memory that nobody wrote."""
        graph = relu(count=0)
        with GpuSession(write_tflite(graph), driver=driver) as session:
            assert session.fully_accelerated
            assert not session.ran_on_gpu
            assert session.doubts == ("the backend built no GPU program",)

    def test_a_tensor_that_no_gpu_can_hold_says_so(self, driver: Driver) -> None:
        with pytest.raises(GpuCompileError, match="Requested allocation size"):
            GpuSession(write_tflite(relu((1, 300_000_000))), driver=driver)

    def test_a_string_cannot_be_passed(self) -> None:
        graph = relu()
        strings = tuple(replace(each, dtype=DType.STRING) for each in graph.tensors)
        with pytest.raises((GpuCompileError, GpuRunError)):
            GpuSession(write_tflite(replace(graph, tensors=strings)), ("cpu",))


class TestFailures:
    def test_what_is_no_model_is_refused(self, driver: Driver) -> None:
        for content in (b"", b"no model", np.random.default_rng(1).bytes(3000)):
            with pytest.raises((GpuCompileError, GpuRunError)):
                GpuSession(content, driver=driver)

    def test_a_cut_off_model_ends_in_an_error(self, driver: Driver, temporary: Path) -> None:
        model = casts(DType.INT8)
        for length in (20, len(model) // 2, len(model) - 8):
            try:
                GpuSession(model[:length], driver=driver, load_limit=20).close()
            except (GpuCompileError, GpuRunError) as error:
                assert str(error)  # noqa: PT017  # a harmless cut may load
        assert not list(temporary.iterdir())

    def test_a_driver_that_hangs_is_stopped(self, tmp_path: Path) -> None:
        start = time.monotonic()
        with pytest.raises(GpuRunError, match="did not load the model within 2 s; it was stopped"):
            probe(bad_driver(tmp_path, HANGS), seconds=2)
        assert time.monotonic() - start < 30

    def test_a_driver_that_crashes_is_named_by_its_signal(self, tmp_path: Path) -> None:
        with pytest.raises(GpuRunError, match="SIGSEGV") as caught:
            probe(bad_driver(tmp_path, CRASHES))
        assert "Create WebGPU environment" in caught.value.log

    def test_a_run_that_hangs_is_stopped(self, driver: Driver) -> None:
        with GpuSession(write_tflite(relu()), driver=driver, run_limit=1) as session:
            os.kill(session.pid, signal.SIGSTOP)
            with pytest.raises(GpuRunError, match="did not run the model within 1 s"):
                session.run([X])
            with pytest.raises(GpuRunError, match="gone"):
                session.run([X])

    def test_memory_that_runs_out_is_an_error_and_no_result(self, driver: Driver) -> None:
        """The backend logs some of these cases, and goes on."""
        shape = (1, 256, 256, 16)  # 4 MiB
        x = np.ones(shape, np.float32)
        ended = []
        for room in (1, 6, 14, 30):
            try:
                with GpuSession(write_tflite(relu(shape, count=2)), driver=driver) as session:
                    status = Path(f"/proc/{session.pid}/status").read_text()
                    size = int(re.search(r"VmSize:\s+(\d+)", status)[1]) << 10  # type: ignore[index]
                    resource.prlimit(session.pid, resource.RLIMIT_AS, (size + (room << 20),) * 2)
                    np.testing.assert_array_equal(session.run([x]).outputs[0], x)
            except GpuRunError as error:
                ended.append(str(error))
        assert ended

    @pytest.mark.usefixtures("driver")
    def test_a_parent_that_is_killed_leaves_no_process(self) -> None:
        code = (
            "import os, signal; from gpu_drivers import any_driver, relu, write_tflite; "
            "from edge_quantize.gpu import GpuSession; "
            "session = GpuSession(write_tflite(relu()), driver=any_driver()); "
            "print(session.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
        )
        tests = str(Path(__file__).parents[1])
        env = environment()
        env["PYTHONPATH"] = os.pathsep.join([tests, env["PYTHONPATH"]])
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
        stat = Path(f"/proc/{int(done.stdout)}/stat")
        deadline = time.monotonic() + 20
        while stat.exists() and " Z " not in stat.read_text() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not stat.exists() or " Z " in stat.read_text()

    def test_many_inferences_have_the_limit_each(
        self, driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Both limits: the parent's, and the process's own for when its parent is gone."""
        changed_worker(tmp_path, monkeypatch, "_SPARE_SECONDS = 30", "_SPARE_SECONDS = 0")
        x = np.ones((1, 128, 128, 16), np.float32)
        with GpuSession(write_tflite(relu(x.shape)), driver=driver, run_limit=2) as session:
            repeats, took = 64, 0.0
            while took < 2.5:
                took = sum(session.run([x], repeats=repeats).seconds)
                repeats *= 2

    @pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL])
    def test_a_crash_while_it_runs_is_named(self, driver: Driver, number: signal.Signals) -> None:
        with GpuSession(write_tflite(relu()), driver=driver) as session:
            os.kill(session.pid, number)
            with pytest.raises(GpuRunError, match=number.name):
                session.run([X])
            assert "Selected adapter" in session.text

    def test_nothing_is_left_in_the_temporary_folder(self, driver: Driver, temporary: Path) -> None:
        with GpuSession(write_tflite(relu()), driver=driver) as session:
            # Not even while it runs: whoever is killed leaves nothing either.
            assert not list(temporary.iterdir())
            session.run([X])
            pid = session.pid
        assert not list(temporary.iterdir())
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        assert "Selected adapter" in session.text  # still to be read

    def test_an_interruption_ends_the_process_at_once(self, driver: Driver) -> None:
        session = GpuSession(write_tflite(relu()), driver=driver)
        os.kill(session.pid, signal.SIGSTOP)
        main = threading.main_thread().ident
        assert main is not None
        timer = threading.Timer(0.5, signal.pthread_kill, (main, signal.SIGINT))
        timer.start()
        start = time.monotonic()
        with pytest.raises(KeyboardInterrupt), session:
            session.run([X])
        assert time.monotonic() - start < 4
        with pytest.raises(ProcessLookupError):
            os.kill(session.pid, 0)

    def test_nothing_reaches_the_terminal(
        self, driver: Driver, capfd: pytest.CaptureFixture[str]
    ) -> None:
        with GpuSession(write_tflite(relu()), driver=driver) as session:
            session.run([X])
        captured = capfd.readouterr()
        assert captured.out == captured.err == ""

    def test_a_flood_of_a_log_is_a_doubt(
        self, driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What is not read of it may be an error."""
        place = '        answer["peak_bytes"] = _peak_bytes()\n'
        flood = '        os.write(2, b"INFO: words\\n" * 400_000)\n'
        changed_worker(tmp_path, monkeypatch, place, flood + place)
        with GpuSession(write_tflite(relu()), driver=driver) as session:
            assert len(session.doubts) == 1
            assert "longer than 4 MiB" in session.doubts[0]
            assert not session.ran_on_gpu

    @pytest.mark.parametrize(
        ("line", "words"),
        [
            ("llvmpipe (LLVM 19.1.7, 256 bits), arch=, ", "as the driver chooses"),
            ("SwiftShader Device (LLVM 16.0.0), arch=swiftshader, ", "float32"),
        ],
    )
    def test_only_swiftshader_is_known_to_compute_in_float32(
        self, driver: Driver, line: str, words: str,
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        """Other drivers that compute on the CPU have float16 too."""
        place = "        signal.alarm(0)\n"
        said = f"Selected adapter: {line}vendor=v, backend=Vulkan, adapterType=CPU / Software"
        changed_worker(
            tmp_path, monkeypatch, place, place + f"        print({said!r}, flush=True)\n"
        )
        with GpuSession(write_tflite(relu()), driver=driver) as session:
            assert session.log.software
            assert session.arithmetic.endswith(words)

    def test_on_windows_it_is_said_that_there_is_none(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "platform", "win32")
        for accelerators in (("cpu",), ("gpu",)):
            with pytest.raises(GpuUnavailableError, match="on Windows use WSL"):
                GpuSession(write_tflite(relu()), accelerators)

    def test_a_litert_of_another_interface_has_the_line_that_mends_it(
        self, driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """LiteRT before 2.1.5 has no options."""
        place = "        from ai_edge_litert.options import"
        changed_worker(tmp_path, monkeypatch, place, place.replace(".options", ".no_options"))
        for accelerators in (("cpu",), ("gpu",)):
            with pytest.raises(
                GpuUnavailableError, match=r"lacks what runs a model.*no_options.*--upgrade"
            ):
                GpuSession(write_tflite(relu()), accelerators, driver=driver)

    def test_litert_without_the_accelerator_is_told_apart(
        self, driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """LiteRT itself then says that some operators are not accelerated, or is silent."""
        real = Path(schema.__file__).parent
        copy_of = tmp_path / "ai_edge_litert"
        copy_of.mkdir()
        for path in real.iterdir():
            if "Accelerator" not in path.name:
                (copy_of / path.name).symlink_to(path)
        # The package looks for the library beside its own files, links resolved or not.
        for name in ("__init__.py", "compiled_model.py", "environment.py"):
            (copy_of / name).unlink()
            (copy_of / name).write_bytes((real / name).read_bytes())
        monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
        for accelerators in (("gpu",), ("gpu", "cpu")):
            with pytest.raises(GpuUnavailableError, match=r"no GPU accelerator.*--upgrade"):
                GpuSession(write_tflite(relu()), accelerators, driver=driver)


_PLAYED = """\
import json, sys
def answer(**fields):
    fields |= {"peak_bytes": 1, "arrays": fields.get("arrays", [])}
    sys.stdout.write(json.dumps(fields) + "\\n"); sys.stdout.flush()
log = lambda words: print(words, file=sys.stderr, flush=True)
port = {"name": "x", "key": "x", "index": 0, "dtype": "float32", "shape": [1, 0]}
sys.stdin.readline()
log("Dynamically loaded GPU accelerator(lib.so) registered.")
answer(load_seconds=0.1, fully_accelerated=True, signature="s", signatures=["s"], runtime="r",
       inputs=[port], outputs=[port])
sys.stdin.readline()
log("E0000 00:00:17.1 42 environment.cc:105] Unknown reason: vkAllocateMemory failed with "
    "VK_ERROR_OUT_OF_DEVICE_MEMORY")
answer(seconds=[0.1], arrays=[["float32", [1, 0]]])
"""


class TestProtocol:
    def test_an_error_in_the_log_of_a_run_is_no_good_run(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What LiteRT does when the GPU's memory runs out in the middle, played."""
        worker = tmp_path / "worker.py"
        worker.write_text(_PLAYED, encoding="utf-8")
        monkeypatch.setattr("edge_quantize.gpu.process._WORKER", worker)
        with GpuSession(b"", driver=Driver("played", True, None, None)) as session:
            assert "the backend named no GPU adapter" in session.doubts
            with pytest.raises(GpuRunError, match=r"the GPU failed.*OUT_OF_DEVICE_MEMORY"):
                session.run([np.zeros((1, 0), np.float32)])

    @pytest.mark.parametrize(
        ("answers", "words"),
        [
            ("print('hello')", "no sound answer"),
            ("print('{}')", "no sound answer"),
            ("print('[1, 2]')", "no sound answer"),
            ('print(\'{"arrays": [["float32", [4]]]}\')', "ended"),
            ('print(\'{"arrays": [["nonsense", [4]]]}\')', "no sound answer"),
            ("raise SystemExit(3)", "exit code 3"),
            ("import os, time; os.close(1); time.sleep(60)", "closed its output"),
        ],
    )
    def test_a_worker_that_breaks_the_protocol(
        self, answers: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        worker = tmp_path / "worker.py"
        worker.write_text(f"import sys\nsys.stdin.readline()\n{answers}\n", encoding="utf-8")
        monkeypatch.setattr("edge_quantize.gpu.process._WORKER", worker)
        monkeypatch.setattr("edge_quantize.gpu.process._END_SECONDS", 0.5)
        started = LiteRtProcess(b"", None)
        try:
            with pytest.raises(GpuRunError, match=words):
                started.ask({"do": "load"}, (), 20, "load the model")
        finally:
            started.close()
