"""The benchmark app on the phone of `fake_adb`: a process that writes its lines into the log.

Its words and the GPU delegate's are those of tensorflow/lite (tools/benchmark, tools/delegates,
delegates/gpu) and of logs that users reported.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from fake_adb import PACKAGE, Phone, inside_path, thermal_answer


class App:
    def __init__(self, phone: Phone, arguments: str) -> None:
        self.phone, self.pid = phone, os.getpid()
        self.arguments = dict(word.removeprefix("--").split("=", 1) for word in arguments.split())
        self.gpu = self.arguments.get("use_gpu") == "true"
        self.play = phone.state["plays"].get("gpu" if self.gpu else "cpu", "works")

    def say(self, text: str, level: str = "I", tag: str = "tflite") -> None:
        self.phone.log(self.pid, level, tag, text)
        time.sleep(self.phone.state["pause"])

    def system(self, text: str, tag: str = "ActivityManager", level: str = "I") -> None:
        self.phone.log(1500, level, tag, text)

    def run(self, arguments: str) -> None:
        play = self.play
        if play == "silent":
            time.sleep(60)
        # Another app with TensorFlow Lite, and an earlier run of this one: neither is ours.
        self.phone.log(4242, "I", "tflite", "Inference timings in us: Init: 1, First inference: 1, "
                       "Warmup (avg): 1, Inference (avg): 1")  # fmt: skip
        self.phone.log(4242, "E", "tflite", "Failed to load model /sdcard/theirs.tflite")
        self.say(f"Running TensorFlow Lite benchmark with args: {arguments}",
                 tag="tflite_BenchmarkModelActivity")  # fmt: skip
        if play == "java crash":
            self._java_crash()
            return
        self.say("Log parameter values verbosely: [0]")
        self.say(f"Min num runs: [{self.arguments['num_runs']}]")
        self.say(f"Graph: [{self.arguments['graph']}]")
        if self.gpu:
            self.say("Use gpu: [1]")
        if not self._load():
            return
        if self.gpu and not self._delegate():
            return
        self._measure()
        time.sleep(60)  # the process stays, as a cached one

    def _java_crash(self) -> None:
        for text in (
            "FATAL EXCEPTION: main",
            f"Process: {PACKAGE}, PID: {self.pid}",
            'java.lang.UnsatisfiedLinkError: dlopen failed: library "libbenchmark.so" not found',
            "\tat java.lang.Runtime.loadLibrary0(Runtime.java:1082)",
        ):
            self.say(text, "E", "AndroidRuntime")
        self.system(f"Process {PACKAGE} (pid {self.pid}) has died: fg  TOP ")

    def _load(self) -> bool:
        graph = self.arguments["graph"]
        content = Path(inside_path(self.phone, graph)).read_bytes()
        if content[4:8] != b"TFL3" or self.play == "no load":
            self.say(f"The model is not a valid Flatbuffer file {graph}", "E")
            self.say(f"Failed to load model {graph}", "E")
            return False
        self.say(f"Loaded model {graph}")
        self.say("Initialized TensorFlow Lite runtime.")
        return True

    def _delegate(self) -> bool:
        play = self.play
        if play == "unsupported":
            self.say("GPU acceleration is unsupported on this platform.", "W")
            return True
        self.say("Created TensorFlow Lite delegate for GPU.")
        self.say("GPU delegate created.")
        if play in ("part", "none", "part, old"):
            split = "23 operations will run on the GPU, and the remaining 8"
            if play == "none":
                split = "No operations will run on the GPU, and all 31"
            self.say(
                "Following operations are not supported by GPU delegate:\n"
                "UNPACK: Operation is not supported.\nARG_MAX: INT64 is not supported.\n"
                f"{split} operations will run on the CPU.",
                "E",
            )
        if play == "fails":
            for text in (
                "Can not open OpenCL library on this device - dlopen failed: library not found",
                "Falling back to OpenGL",
                "TfLiteGpuDelegate Init: No shader implementation for transpose",
                "TfLiteGpuDelegate Prepare: delegate is not initialized",
                "Node number 31 (TfLiteGpuDelegateV2) failed to prepare.",
                "Restored original execution plan after delegate application failure.",
                "Failed to apply GPU delegate.",
            ):
                self.say(text, "E")
            return False
        kernels = {"none": 0, "part": 2, "part, old": 2}.get(play, 1)
        if kernels:
            taken = 23 if kernels == 2 else 31
            self.say(
                f"Replacing {taken} out of 31 node(s) with delegate (TfLiteGpuDelegateV2) node, "
                f"yielding {2 * kernels - 1} partitions for subgraph 0 (main)."
            )
            self.say("Initialized OpenCL-based API.")
        self.say(f"Created {kernels} GPU delegate kernels.")
        if play == "unsaid":
            return True
        how = {0: "not be", 1: "be completely", 2: "be partially"}[kernels]
        begin = "Explicitly applied GPU delegate, and" if kernels else (
            "Though GPU delegate is explicitly applied,"
        )  # fmt: skip
        end = " w/ 2 delegate kernels." if kernels == 2 else "."
        self.say(f"{begin} the model graph will {how} executed by the delegate{end}")
        return True

    def _measure(self) -> None:
        play, home = self.play, self.phone.home
        seconds = self.arguments["max_secs"]
        self.say("The input model file size (MB): 0.0123")
        self.say("Initialized session in 12.345ms.")
        self.say(f"Running benchmark for at least {self.arguments['warmup_runs']} iterations and "
                 f"at least 0.5 seconds but terminate if exceeding {seconds} seconds.")  # fmt: skip
        if play == "slow":
            time.sleep(60)
        self.say("count=9 first=9050 curr=5000 min=4900 max=9050 avg=5600.5 std=1200\n")
        self.say(f"Running benchmark for at least {self.arguments['num_runs']} iterations and "
                 f"at least 1 seconds but terminate if exceeding {seconds} seconds.")  # fmt: skip
        if play == "unplugged":
            (home / "gone").touch()
            time.sleep(60)
        elif play == "adb killed":
            os.kill(int((home / "logcat.pid").read_text()), signal.SIGKILL)
            time.sleep(60)
        elif play == "native crash":
            self.say(f"Fatal signal 11 (SIGSEGV), code 1 (SEGV_MAPERR), fault addr 0x10 in tid "
                     f"{self.pid} (low.lite.benchm), pid {self.pid} (low.lite.benchm)",
                     "F", "libc")  # fmt: skip
            self.system("*** *** *** *** *** *** ***", "DEBUG", "F")
            return
        elif play == "no memory":
            self.system(f"Kill '{PACKAGE}' ({self.pid}), uid 10234, oom_score_adj 0 to free "
                        "812344kB rss", "lowmemorykiller")  # fmt: skip
            return
        elif play == "invoke fails":
            self.say("Node number 3 (TfLiteGpuDelegateV2) failed to invoke.", "E")
            return
        elif play == "hot":
            (home / "answers/dumpsys-thermalservice").write_text(thermal_answer(3))
        average = 1234.5 if self.gpu else 4938
        tail = (
            "" if "old" in play else f" p5={average - 50} median={average - 4} p95={average + 80}"
        )
        self.say(f"count=207 first=5000 curr=4900 min=4800 max=6100 avg={average} std=75{tail}\n")
        self.say(f"Inference timings in us: Init: 12345, First inference: 9050, Warmup (avg): "
                 f"5600.5, Inference (avg): {average}")  # fmt: skip
        if play == "no memory line":
            time.sleep(60)
        self.say("Note: as the benchmark tool itself affects memory footprint, the following is "
                 "only APPROXIMATE to the actual memory footprint of the model at runtime. Take "
                 "the information at your discretion.")  # fmt: skip
        words = ("Peak memory footprint (MB): " if "old" in play else
                 "Memory footprint delta from the start of the tool (MB): ")  # fmt: skip
        self.say(f"{words}init=3.5 overall=7.25")


def app(phone: Phone, arguments: list[str]) -> int:
    App(phone, arguments[0]).run(arguments[0])
    return 0
