"""`bench --adb` in this process, with a stand-in for adb and a phone behind it (fake_adb)."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from cli_tools import Answer, call
from fake_adb import FakePhone

from edge_autoglm.report import phone as report

MODELS = Path(__file__).parent / "golden" / "models"
SCHEMA = json.loads(
    Path(report.__file__).with_name("phone.schema.json").read_text(encoding="utf-8")
)


class Bench:
    """`edge-autoglm bench MODEL --adb` with the stand-in on PATH, in this process."""

    def __init__(self, phone: FakePhone, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.phone, self.folder, self.capsys = phone, folder, capsys
        self.model = sorted(MODELS.glob("*.tflite"))[0]

    def __call__(self, *options: object) -> Answer:
        return call(self.capsys, "bench", self.model, "--adb", *options)

    def json(self, *options: object) -> tuple[Answer, dict[str, Any]]:
        path = self.folder / "result.json"
        done = self(*options, "--json", path)
        document = json.loads(path.read_text(encoding="utf-8"))
        jsonschema.validate(document, SCHEMA)
        return done, document


def played(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bench]:
    """The body of a fixture: the stand-in, first on PATH."""
    phone = FakePhone(tmp_path)
    for name in ("ANDROID_HOME", "ANDROID_SDK_ROOT", "EDGE_AUTOGLM_ADB"):
        monkeypatch.delenv(name, raising=False)
    for name, value in phone.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(tmp_path))
    yield Bench(phone, tmp_path, capsys)
    # On a phone that "went away" the app goes on, as on a real one.
    if phone.app_pid is not None:
        os.kill(phone.app_pid, signal.SIGKILL)


def said(answer: Answer) -> str:
    """All words, as one line."""
    return " ".join((answer.out + " " + answer.err).split())


def left(bench: Bench) -> list[Path]:
    return list(bench.phone.tmp.iterdir())
