"""Which Vulkan driver is taken, of what a machine has, and what is said where none is."""

from __future__ import annotations

import functools
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from gpu_drivers import (
    CRASHES,
    HANGS,
    bad_driver,
    loader_only,
    manifest,
    swiftshader,
)

from edge_quantize.errors import GpuUnavailableError
from edge_quantize.gpu import Driver, Probe, choice, choose_driver, driver, find_driver, probe
from edge_quantize.gpu.driver import LIBRARY, LOADER, MANIFEST


class Machine:
    """A machine with nothing on it; methods put something there."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.root, self.patch = root, patch
        for name in ("VK_DRIVER_FILES", "VK_ICD_FILENAMES", "EDGE_AUTOGLM_GPU"):
            patch.delenv(name, raising=False)
        for name in ("XDG_CONFIG_HOME", "XDG_CONFIG_DIRS", "XDG_DATA_HOME", "XDG_DATA_DIRS"):
            patch.setenv(name, str(root / "none"))
        patch.setenv("EDGE_AUTOGLM_CACHE", str(root / "cache"))
        patch.setenv("LD_LIBRARY_PATH", str(root / "none"))
        patch.setattr(driver, "PLACES", (root / "chromium",))
        patch.setattr(driver, "_SYSTEM", ())
        patch.setattr(driver, "system_has_loader", lambda: (root / "lib" / LOADER).exists())
        patch.setattr(choice, "graphics_devices", lambda: ())
        patch.setattr(choice, "probe", functools.partial(probe, seconds=20))

    def has_swiftshader(self, folder: str, loader: bool = True) -> Path:
        choice._chosen.cache_clear()
        real, place = swiftshader(), self.root / folder
        assert real.icd is not None
        assert real.loader is not None
        place.mkdir(parents=True)
        (place / LIBRARY).symlink_to(real.icd.parent / LIBRARY)
        manifest(place / MANIFEST, place / LIBRARY)
        if loader:
            (place / LOADER).symlink_to(real.loader)
        return place

    def has_loader(self) -> None:
        self.patch.setenv("LD_LIBRARY_PATH", str(loader_only(self.root / "lib")))

    def has_gpu(self) -> None:
        choice._chosen.cache_clear()
        self.patch.setattr(choice, "graphics_devices", lambda: (Path("/dev/dri/renderD128"),))

    def has_system_driver(self, library: Path) -> None:
        manifest(self.root / "share" / "vulkan" / "icd.d" / "some_icd.json", library)
        self.patch.setenv("XDG_DATA_HOME", str(self.root / "share"))

    @property
    def real_library(self) -> Path:
        real = swiftshader()
        assert real.icd is not None
        return real.icd.parent / LIBRARY


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_a_machine_without_any_says_the_one_command(machine: Machine) -> None:
    assert not machine.root.joinpath("cache").exists()
    with pytest.raises(GpuUnavailableError, match="run `edge-autoglm setup gpu`"):
        find_driver()


@pytest.mark.parametrize(
    ("platform", "words"), [("darwin", r"Metal: .*no GPU found"), ("win32", "on Windows use WSL")]
)
def test_systems_where_setup_gpu_does_not_help_are_not_told_to_run_it(
    machine: Machine, platform: str, words: str
) -> None:
    machine.patch.setattr(sys, "platform", platform)
    with pytest.raises(GpuUnavailableError, match=words) as caught:
        find_driver()
    assert "setup gpu" not in str(caught.value)


def test_the_users_cache_comes_before_chromium(machine: Machine) -> None:
    chromium = machine.has_swiftshader("chromium")
    assert find_driver().icd == chromium / MANIFEST
    cache = machine.has_swiftshader("cache/gpu")
    found = find_driver()
    assert (found.name, found.software) == ("SwiftShader", True)
    assert found.icd == cache / MANIFEST
    assert found.environment()["VK_DRIVER_FILES"] == str(cache / MANIFEST)


def test_swiftshader_without_a_loader_is_none(machine: Machine) -> None:
    machine.has_swiftshader("chromium", loader=False)
    with pytest.raises(GpuUnavailableError):
        find_driver()
    machine.has_loader()
    found = find_driver()
    assert found.loader is None
    assert probe(found).software


def test_half_a_swiftshader_is_none(machine: Machine) -> None:
    (machine.has_swiftshader("chromium") / LIBRARY).unlink()
    with pytest.raises(GpuUnavailableError):
        find_driver()


def test_the_systems_software_driver_comes_last(machine: Machine) -> None:
    machine.has_loader()
    machine.has_system_driver(machine.real_library)
    found = choose_driver()
    assert found.driver.software
    assert found.driver.name.startswith("SwiftShader Device")
    assert "some_icd.json" in found.driver.origin
    place = machine.has_swiftshader("chromium")
    machine.has_gpu()
    found = choose_driver()
    assert found.driver.icd == place / MANIFEST
    assert "computes on the CPU" in found.passed_over[0]


def test_a_real_gpu_comes_first(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """No GPU is here: its adapter is played, everything else is real."""
    machine.has_loader()
    machine.has_gpu()
    machine.has_system_driver(machine.real_library)
    machine.has_swiftshader("chromium")

    def as_hardware(tried: Driver) -> Probe:
        return replace(probe(tried), adapter="A GPU", software=False)

    monkeypatch.setattr(choice, "probe", as_hardware)
    found = choose_driver().driver
    assert (found.name, found.software, found.icd) == ("A GPU", False, None)
    assert found.environment() == {}


def test_a_gpu_whose_driver_hangs_is_passed_over_and_told(machine: Machine) -> None:
    machine.has_loader()
    machine.has_gpu()
    machine.patch.setattr(choice, "probe", functools.partial(probe, seconds=2))
    bad_driver(machine.root, HANGS)
    machine.has_system_driver(machine.root / "libbad_icd.so")
    place = machine.has_swiftshader("chromium")
    found = choose_driver()
    assert found.driver.icd == place / MANIFEST
    assert "did not load the model within 2 s" in found.passed_over[0]


def test_a_driver_that_crashes_is_in_the_message_where_nothing_else_is(machine: Machine) -> None:
    machine.has_loader()
    machine.has_gpu()
    bad_driver(machine.root, CRASHES)
    machine.has_system_driver(machine.root / "libbad_icd.so")
    with pytest.raises(GpuUnavailableError, match=r"SIGSEGV.*run `edge-autoglm setup gpu`"):
        find_driver()


class TestNamedByTheUser:
    def test_none_is_none(self, machine: Machine) -> None:
        machine.has_swiftshader("chromium")
        machine.patch.setenv("EDGE_AUTOGLM_GPU", "none")
        with pytest.raises(GpuUnavailableError, match="EDGE_AUTOGLM_GPU=none"):
            find_driver()

    def test_swiftshader_is_taken_where_a_gpu_is(self, machine: Machine) -> None:
        machine.has_loader()
        machine.has_gpu()
        machine.has_system_driver(machine.real_library)
        place = machine.has_swiftshader("chromium")
        machine.patch.setenv("EDGE_AUTOGLM_GPU", "swiftshader")
        assert find_driver().icd == place / MANIFEST

    def test_a_manifest_is_taken_with_the_loader_beside_it(self, machine: Machine) -> None:
        place = machine.has_swiftshader("elsewhere")
        machine.patch.setenv("EDGE_AUTOGLM_GPU", str(place / MANIFEST))
        found = find_driver()
        assert found.icd == place / MANIFEST
        assert found.loader == place / LOADER
        assert found.software

    @pytest.mark.parametrize(
        ("content", "words"),
        [(None, "No such file"), ("no json", "is no manifest"), ("[]", "is no manifest"),
         ('{"ICD": {}}', "is no manifest")],
    )  # fmt: skip
    def test_what_is_no_manifest_is_an_error(
        self, machine: Machine, content: str | None, words: str
    ) -> None:
        path = machine.root / "mine.json"
        if content is not None:
            path.write_text(content, encoding="utf-8")
        machine.has_swiftshader("chromium")
        machine.patch.setenv("EDGE_AUTOGLM_GPU", str(path))
        with pytest.raises(GpuUnavailableError, match=rf"EDGE_AUTOGLM_GPU=.*{words}"):
            find_driver()

    def test_a_driver_that_does_not_work_is_an_error_and_not_passed_over(
        self, machine: Machine
    ) -> None:
        machine.has_swiftshader("chromium")
        bad = manifest(machine.root / "bad.json", machine.root / "libmissing.so")
        machine.patch.setenv("EDGE_AUTOGLM_GPU", str(bad))
        with pytest.raises(GpuUnavailableError, match=r"bad\.json.*no GPU found"):
            find_driver()

    @pytest.mark.parametrize("name", ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"])
    def test_vulkans_own_variables_are_kept(self, machine: Machine, name: str) -> None:
        machine.has_swiftshader("chromium")
        place = machine.has_swiftshader("elsewhere")
        machine.patch.setenv(name, str(place / MANIFEST))
        found = find_driver()
        assert found.icd is None
        assert found.origin == name
        assert found.software
        assert "VK_DRIVER_FILES" not in found.environment()
        machine.patch.setenv(name, str(machine.root / "none.json"))
        with pytest.raises(GpuUnavailableError, match=name):
            find_driver()
