"""Copying to a probe's disk; a folder and a mount table stand for the disk."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_autoglm.errors import FlashError
from edge_autoglm.flash.disks import find_disks
from edge_autoglm.flash.job import Job
from edge_autoglm.flash.mass_storage import FAIL_FILE, IMAGE_FILE, Waits, program
from edge_boards.board import Programmer
from edge_boards.loader import load_board

LABEL = "DIS_F746NG"
# The probe of these tests is a thread, which a busy machine may keep waiting.
QUICK = Waits(leave=0.2, come_back=0.2, poll=0.02)
PATIENT = Waits(leave=60, come_back=60, poll=0.02)
IMAGE = bytes(range(256)) * 300


class Disk:
    """A disk in a folder; `mounts` is the mount table that names it."""

    def __init__(self, root: Path, label: str = LABEL) -> None:
        self.folder = root / "media" / label
        self.folder.mkdir(parents=True)
        self.mounts = root / "mounts"
        self.mount()

    def mount(self) -> None:
        escaped = str(self.folder).replace(" ", "\\040")
        self.mounts.write_text(
            f"proc /proc proc rw 0 0\n/dev/sdb {escaped} vfat rw 0 0\n", encoding="utf-8"
        )

    def unmount(self) -> None:
        self.mounts.write_text("proc /proc proc rw 0 0\n", encoding="utf-8")

    def programs(self, size: int, then: Callable[[], None]) -> threading.Thread:
        """A probe: once the image is there it unmounts the disk, does `then`, mounts it."""

        def probe() -> None:
            image = self.folder / IMAGE_FILE
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                if image.exists() and image.stat().st_size == size:
                    time.sleep(0.1)
                    self.unmount()
                    time.sleep(0.2)
                    then()
                    return
                time.sleep(0.01)

        thread = threading.Thread(target=probe)
        thread.start()
        return thread


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def job(**changes: object) -> Job:
    values = {
        "board": load_board("stm32f746"),
        "programmer": Programmer("mass-storage", volume=LABEL),
        "image": IMAGE,
        "address": 0x0800_0000,
        "port": None,
        **changes,
    }
    return Job(**values)  # type: ignore[arg-type]


def test_the_image_is_copied_whole_and_the_remount_awaited(disk: Disk) -> None:
    told: list[tuple[int, int]] = []
    remounted: list[float] = []

    def back() -> None:
        disk.mount()
        remounted.append(time.monotonic())

    probe = disk.programs(len(IMAGE), back)
    program(
        job(progress=lambda done, total: told.append((done, total))),
        mounts=disk.mounts,
        waits=PATIENT,
    )
    assert remounted
    assert time.monotonic() >= remounted[0]
    assert (disk.folder / IMAGE_FILE).read_bytes() == IMAGE
    assert told[-1] == (len(IMAGE), len(IMAGE))
    assert [path.name for path in disk.folder.iterdir()] == [IMAGE_FILE]
    probe.join()


def test_what_the_probe_reports_is_carried(disk: Disk) -> None:
    def fail() -> None:
        (disk.folder / FAIL_FILE).write_text(
            "The interface firmware FAILED\r\nto reset/halt the target MCU\r\n", encoding="utf-8"
        )
        disk.mount()

    probe = disk.programs(len(IMAGE), fail)
    with pytest.raises(FlashError, match="FAILED to reset/halt the target MCU; unplug"):
        program(job(), mounts=disk.mounts, waits=PATIENT)
    probe.join()


def test_a_failure_told_without_a_remount_is_read_too(disk: Disk) -> None:
    def fail() -> None:
        (disk.folder / FAIL_FILE).write_text("Flash error", encoding="utf-8")

    timer = threading.Timer(0.3, fail)
    timer.start()
    with pytest.raises(FlashError, match="Flash error"):
        program(job(), mounts=disk.mounts, waits=Waits(leave=4, come_back=1, poll=0.02))
    timer.join()


def test_the_failure_of_an_earlier_attempt_is_not_this_ones(disk: Disk) -> None:
    (disk.folder / FAIL_FILE).write_text("yesterday", encoding="utf-8")
    program(job(), mounts=disk.mounts, waits=QUICK)
    assert (disk.folder / IMAGE_FILE).read_bytes() == IMAGE


def test_a_failure_that_is_still_there_after_a_remount_counts(disk: Disk) -> None:
    (disk.folder / FAIL_FILE).write_text("again", encoding="utf-8")
    probe = disk.programs(len(IMAGE), disk.mount)
    with pytest.raises(FlashError, match="again"):
        program(job(), mounts=disk.mounts, waits=PATIENT)
    probe.join()


def test_a_disk_that_does_not_come_back(disk: Disk) -> None:
    probe = disk.programs(len(IMAGE), lambda: None)
    with pytest.raises(FlashError, match=f"{LABEL} did not come back within 2 s"):
        program(job(), mounts=disk.mounts, waits=replace(PATIENT, come_back=2))
    probe.join()


def test_no_disk_says_what_to_try(disk: Disk) -> None:
    disk.unmount()
    with pytest.raises(FlashError, match=rf"no disk called {LABEL} .*\(--port virtual"):
        program(job(), mounts=disk.mounts, waits=QUICK)


def test_a_full_disk(disk: Disk) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    (disk.folder / IMAGE_FILE).symlink_to("/dev/full")
    with pytest.raises(FlashError, match=f"it has no room for {len(IMAGE)} bytes"):
        program(job(), mounts=disk.mounts, waits=QUICK)


def folders(label: str, disk: Disk, **where: Path) -> list[Path]:
    return [each.folder for each in find_disks(label, mounts=disk.mounts, **where)]


def test_ctrl_c_says_what_the_board_holds(disk: Disk) -> None:
    def interrupt(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="half an image now"):
        program(job(progress=interrupt), mounts=disk.mounts, waits=QUICK)


@pytest.mark.parametrize(
    ("number", "words"), [(errno.EROFS, "mounted read-only"), (errno.EACCES, "no permission")]
)
def test_what_was_never_written_left_no_half_image(
    number: int, words: str, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The superuser may write everywhere, so the system's refusal is played."""

    opened = Path.open

    def refuse(path: Path, mode: str = "r", **given: Any) -> Any:
        if "w" in mode:
            raise OSError(number, os.strerror(number))
        return opened(path, mode, **given)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(FlashError, match=words) as error:
        program(job(), mounts=disk.mounts, waits=QUICK)
    assert "half an image" not in str(error.value)


def test_a_disk_below_a_name_that_is_not_ascii(tmp_path: Path) -> None:
    home = tmp_path / "josé ü"
    home.mkdir()
    disk = Disk(home)
    assert folders(LABEL, disk) == [disk.folder]


def test_a_disk_whose_name_has_a_space(tmp_path: Path) -> None:
    disk = Disk(tmp_path, "MY BOARD")
    assert folders("MY BOARD", disk) == [disk.folder]
    assert folders("BOARD", disk) == []


def test_a_disk_that_was_mounted_elsewhere_is_found_by_its_device(tmp_path: Path) -> None:
    disk = Disk(tmp_path, label="stick")
    labels = tmp_path / "by-label"
    labels.mkdir()
    assert folders(LABEL, disk, labels=labels) == []
    (labels / LABEL).symlink_to("/dev/sdb")
    assert folders(LABEL, disk, labels=labels) == [disk.folder]
