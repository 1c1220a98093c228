"""`setup gpu` puts a SwiftShader that works into the cache, or leaves the cache as it was."""

from __future__ import annotations

import functools
import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import apt_standin
import pytest
from cli_tools import Answer, call
from gpu_drivers import swiftshader

from edge_autoglm import gpu_setup
from edge_quantize.gpu import choice, driver, find_driver
from edge_quantize.gpu.driver import LIBRARY, LOADER, MANIFEST


class Desk:
    """A machine with no driver, an apt-get that fetches from a folder, and an empty cache."""

    def __init__(
        self, root: Path, patch: pytest.MonkeyPatch, made: Callable[[], tuple[Path, Path]]
    ) -> None:
        self.root, self.patch, self.made = root, patch, made
        self.base = root / "cache"
        self.packages = root / "packages"
        self.packages.mkdir()
        patch.setenv("EDGE_AUTOGLM_CACHE", str(self.base))
        for name in ("VK_DRIVER_FILES", "VK_ICD_FILENAMES", "EDGE_AUTOGLM_GPU"):
            patch.delenv(name, raising=False)
        patch.setattr(driver, "PLACES", ())
        patch.setattr(driver, "system_has_loader", lambda: False)
        patch.setattr(gpu_setup, "system_has_loader", lambda: False)
        apt_standin.install(root / "programs", self.packages)
        patch.setenv("PATH", str(root / "programs"), prepend=os.pathsep)
        choice._chosen.cache_clear()

    @property
    def cache(self) -> Path:
        return self.base / "gpu"

    def plays(self, failure: str) -> None:
        self.patch.setenv(apt_standin.PLAYS, failure)

    def real_packages(self) -> tuple[Path, Path]:
        """Packages as Debian has them, with this machine's own SwiftShader and loader."""
        made = [shutil.copy(each, self.packages) for each in self.made()]
        return Path(made[0]), Path(made[1])

    def empty_packages(self) -> None:
        """Packages that can be fetched and have nothing of use in them."""
        for name in ("chromium-common", "libvulkan1"):
            apt_standin.package(self.packages, name, "1.0-1", {"usr/share/doc": Path(__file__)})

    def left(self) -> list[str]:
        """What lies in the cache's folder."""
        return sorted(each.name for each in self.base.iterdir()) if self.base.exists() else []


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], tuple[Path, Path]]:
    """Makes the two packages, once."""

    @functools.cache
    def make() -> tuple[Path, Path]:
        real, folder = swiftshader(), tmp_path_factory.mktemp("packages")
        assert real.icd is not None
        assert real.loader is not None
        place, library = "usr/lib/chromium", f"usr/lib/x86_64-linux-gnu/{LOADER}"
        files = {
            f"{place}/{LIBRARY}": real.icd.parent / LIBRARY,
            f"{place}/{MANIFEST}": real.icd,
            f"{place}/resources.pak": real.icd,
        }
        loader = {library: f"{LOADER}.3.239", f"{library}.3.239": real.loader}
        return (
            apt_standin.package(folder, "chromium-common", "156.0-1~deb12u1", files),
            apt_standin.package(folder, "libvulkan1", "1.3.239.0-1", loader),
        )

    return make


@pytest.fixture
def desk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Callable[[], tuple[Path, Path]]
) -> Desk:
    return Desk(tmp_path, monkeypatch, made)


def setup(capsys: pytest.CaptureFixture[str], *arguments: object) -> Answer:
    return call(capsys, "setup", "gpu", *arguments)


def narrow(text: str) -> list[str]:
    return [line for line in text.splitlines() if len(line) > 80 and "/" not in line]


def test_from_the_package_manager(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.real_packages()
    answer = setup(capsys)
    assert answer.code == 0, answer
    assert "chromium-common 156.0-1~deb12u1 (" in " ".join(answer.err.split())
    assert "SwiftShader is ready:" in answer.out
    assert "tiny model ran on it with ai-edge-litert" in " ".join(answer.out.split())
    assert not narrow(answer.out + answer.err)
    assert sorted(each.name for each in desk.cache.iterdir()) == [
        LIBRARY, LOADER, "origin.json", MANIFEST,
    ]  # fmt: skip
    assert desk.left() == ["gpu"]
    assert find_driver().icd == desk.cache / MANIFEST

    before = (desk.cache / LIBRARY).stat().st_ino
    again = setup(capsys)
    assert (again.code, again.err) == (0, "")
    assert "is there already" in again.out
    assert "chromium-common 156.0-1~deb12u1" in " ".join(again.out.split())
    assert (desk.cache / LIBRARY).stat().st_ino == before

    forced = setup(capsys, "--force", "--json", "-")
    assert forced.code == 0
    assert json.loads(forced.out)["folder"] == str(desk.cache)
    assert (desk.cache / LIBRARY).stat().st_ino != before
    assert desk.left() == ["gpu"]


def test_from_packages_that_were_brought(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    chromium, vulkan = desk.real_packages()
    desk.plays("no network")
    alone = setup(capsys, "--from", chromium)
    alone.refused(f"has no {LOADER}", "libvulkan1")
    assert desk.left() == []
    desk.patch.chdir(vulkan.parent)
    vulkan.rename("-f")  # no option of the program that opens it
    both = setup(capsys, "--from", chromium, "--from=-f")
    assert both.code == 0, both
    assert find_driver().icd == desk.cache / MANIFEST


def test_from_a_folder_with_the_packages(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    chromium, _ = desk.real_packages()
    desk.plays("no network")
    answer = setup(capsys, "--from", desk.packages)
    assert answer.code == 0, answer
    assert desk.left() == ["gpu"]
    shutil.copy(chromium, chromium.with_name("chromium-common_157_all.deb"))
    again = setup(capsys, "--from", desk.packages)
    again.refused("has several packages", "chromium-common_157_all.deb", "give the file")


def test_from_a_programs_folder(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    real = swiftshader()
    assert real.icd is not None
    assert real.loader is not None
    place = desk.root / "opt" / "editor" / "bin"
    place.mkdir(parents=True)
    shutil.copyfile(real.icd.parent / LIBRARY, place / LIBRARY)
    shutil.copyfile(real.loader, place / LOADER)
    answer = setup(capsys, "--from", desk.root / "opt")
    assert answer.code == 0, answer
    assert find_driver().icd == desk.cache / MANIFEST


def test_a_driver_that_is_there_needs_nothing(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    real = swiftshader()
    assert real.icd is not None
    desk.patch.setattr(driver, "PLACES", (real.icd.parent,))
    answer = setup(capsys)
    assert answer.code == 0
    assert answer.out.startswith("Nothing to set up: SwiftShader")
    assert desk.left() == []
    told = json.loads(setup(capsys, "--json", "-").out)
    assert (told["folder"], told["origin"]) == (str(real.icd.parent),) * 2


def test_a_driver_named_by_the_user_that_stands_in_the_way_is_told(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.real_packages()
    desk.patch.setenv("EDGE_AUTOGLM_GPU", "none")
    answer = setup(capsys)
    assert answer.code == 0, answer
    assert "SwiftShader is ready" in answer.out
    assert "It is not used yet: EDGE_AUTOGLM_GPU=none" in answer.err


def test_a_broken_one_in_the_cache_is_replaced(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.real_packages()
    assert setup(capsys).code == 0
    (desk.cache / LIBRARY).write_bytes(b"half")
    answer = setup(capsys)
    assert answer.code == 0, answer
    assert "does not work" in answer.err
    assert (desk.cache / LIBRARY).stat().st_size > 1000


class TestNothingIsChanged:
    """Whatever fails, the cache stays as it was."""

    @pytest.fixture(autouse=True)
    def _as_it_was(self, desk: Desk) -> None:
        self.desk = desk

    def refused(self, answer: Answer, *words: str) -> None:
        lines = [line for line in answer.err.splitlines() if line.startswith("edge-autoglm: ")]
        assert answer.code == 1, answer
        assert len(lines) == 1, answer.err
        for word in words:
            assert word in lines[0]
        assert not self.desk.base.exists(), "what it made is gone, the cache's folder too"

    def test_no_lists(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.desk.empty_packages()
        self.desk.plays("no lists")
        self.refused(
            setup(capsys), "Unable to locate package chromium-common", "sudo apt-get update",
            "--from DIR",
        )  # fmt: skip

    def test_no_network(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.desk.empty_packages()
        self.desk.plays("no network")
        self.refused(setup(capsys), "Temporary failure resolving", "is the network there?")

    @pytest.mark.parametrize(
        ("failure", "words"), [("half", "came only in part"), ("damaged", "came damaged")]
    )
    def test_a_download_that_is_not_whole(
        self, capsys: pytest.CaptureFixture[str], failure: str, words: str
    ) -> None:
        self.desk.empty_packages()
        self.desk.plays(failure)
        self.refused(setup(capsys), "chromium-common_1.0-1_all.deb", words)

    def test_packages_without_swiftshader(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.desk.empty_packages()
        self.refused(
            setup(capsys), "chromium-common 1.0-1, libvulkan1 1.0-1", f"has no {LIBRARY} in it"
        )

    def test_no_package_manager(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.desk.patch.setenv("PATH", str(self.desk.root / "nowhere"))
        self.refused(setup(capsys), "no apt-get here", LIBRARY, LOADER, "--from DIR")

    def test_no_dpkg(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.desk.empty_packages()
        deb = next(self.desk.packages.iterdir())
        self.desk.patch.setenv("PATH", str(self.desk.root / "nowhere"))
        self.refused(setup(capsys, "--from", deb), "dpkg-deb", "not installed")

    def test_what_is_no_package(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.desk.empty_packages()
        whole = next(self.desk.packages.iterdir()).read_bytes()
        for content in (b"", b"text", whole[: len(whole) // 2], whole[:200]):
            path = self.desk.root / "x.deb"
            path.write_bytes(content)
            self.refused(setup(capsys, "--from", path), "x.deb: is no whole Debian package")

    def test_what_is_not_there(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.refused(setup(capsys, "--from", "nowhere.deb"), "--from nowhere.deb: is not there")

    def test_a_library_that_is_none(self, capsys: pytest.CaptureFixture[str]) -> None:
        place = self.desk.root / "place"
        place.mkdir()
        for name in (LIBRARY, LOADER):
            (place / name).write_text("text")
        self.refused(setup(capsys, "--from", place), "is no shared library")

    def test_a_library_of_another_processor(self, capsys: pytest.CaptureFixture[str]) -> None:
        place = self.desk.root / "place"
        place.mkdir()
        head = Path(sys.executable).read_bytes()[:64]
        for name in (LIBRARY, LOADER):
            (place / name).write_bytes(head[:18] + struct.pack("<H", 0x1234) + head[20:])
        self.refused(setup(capsys, "--from", place), "is for another processor")

    def test_a_library_that_no_model_runs_on(self, capsys: pytest.CaptureFixture[str]) -> None:
        real = swiftshader()
        assert real.loader is not None
        place = self.desk.root / "place"
        place.mkdir()
        shutil.copyfile(real.loader, place / LOADER)
        shutil.copyfile(real.loader, place / LIBRARY)  # a library, and no driver
        self.refused(setup(capsys, "--from", place), "a tiny model does not run on it")

    def test_too_little_room(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.desk.empty_packages()
        usage = shutil.disk_usage(self.desk.root)
        self.desk.patch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=5 << 20))
        self.refused(setup(capsys), "5 MiB are free", "EDGE_AUTOGLM_CACHE")

    def test_a_cache_that_cannot_be_made(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.desk.empty_packages()
        (self.desk.root / "file").write_text("")
        self.desk.patch.setenv("EDGE_AUTOGLM_CACHE", str(self.desk.root / "file" / "cache"))
        self.refused(setup(capsys), "Not a directory", "EDGE_AUTOGLM_CACHE")

    def test_another_system(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.desk.patch.setattr(sys, "platform", "darwin")
        self.refused(setup(capsys, "--force"), "setup gpu is for Linux", "Metal")


def test_a_failure_and_an_interruption_keep_what_works(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.real_packages()
    assert setup(capsys).code == 0
    before = (desk.cache / LIBRARY).stat().st_ino
    renamed = Path.rename

    def interrupted(path: Path, target: Path) -> Path:
        if path.name == "files":
            raise KeyboardInterrupt
        return renamed(path, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "rename", interrupted)
        assert setup(capsys, "--force").code == 130
    assert (desk.cache / LIBRARY).stat().st_ino == before
    assert desk.left() == ["gpu"]

    desk.plays("half")
    assert setup(capsys, "--force").code == 1
    assert (desk.cache / LIBRARY).stat().st_ino == before
    assert desk.left() == ["gpu"]
    assert setup(capsys).code == 0


def test_the_stand_in_speaks_as_the_real_apt_get(desk: Desk) -> None:
    """What the product reads of `--print-uris`, of whatever package this system has lists for."""
    desk.empty_packages()
    lines = subprocess.run(
        ["apt-get", "-q", "--print-uris", "download", "chromium-common", "libvulkan1"],
        capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    real = (
        "'http://deb.debian.org/debian/pool/main/v/vulkan-loader/libvulkan1_1.3.239.0-1_amd64.deb' "
        "libvulkan1_1.3.239.0-1_amd64.deb 116232 SHA256:622f28b807ba55a1f5ad1622ff83aa2c5b11fedbec"
        "074850e04c10a8f28b43d3"
    )
    assert [len(line.split()) for line in lines] == [4, 4]
    for line in (*lines, real):
        uri, name, size, digest = line.split()
        assert uri.startswith("'http")
        assert name.endswith(".deb")
        assert size.isdigit()
        assert len(digest) == len("SHA256:") + 64
