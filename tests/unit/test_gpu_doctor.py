"""`doctor` says what GPU results are checked on, and why they cannot be where they cannot."""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path

import pytest
from gpu_drivers import any_driver, manifest, swiftshader

from edge_autoglm import gpu_checks
from edge_boards.doctor import Check
from edge_quantize.gpu import choice, driver


@pytest.fixture(autouse=True)
def _nothing_named(monkeypatch: pytest.MonkeyPatch) -> None:
    any_driver()
    for name in ("VK_DRIVER_FILES", "VK_ICD_FILENAMES", "EDGE_AUTOGLM_GPU"):
        monkeypatch.delenv(name, raising=False)
    choice._chosen.cache_clear()


def found() -> dict[str, Check]:
    checks = gpu_checks.gpu_checks()
    assert all(bool(check.mend) != check.ok for check in checks)
    assert not any(check.needed for check in checks)
    return {check.name: check for check in checks}


def test_a_tiny_model_ran_on_what_is_there() -> None:
    told = found()
    litert = told["LiteRT's GPU accelerator"]
    assert litert.ok
    assert litert.detail.startswith("ai-edge-litert 2.")
    assert "libLiteRtWebGpuAccelerator.so" in litert.detail
    check = told["GPU check"]
    assert check.ok
    assert "a tiny model ran on" in check.detail
    assert "Vulkan" in check.detail


def test_without_a_driver_it_names_the_one_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_AUTOGLM_CACHE", str(tmp_path))
    monkeypatch.setattr(driver, "PLACES", ())
    monkeypatch.setattr(choice, "system_driver", lambda: None)
    check = found()["GPU check"]
    assert not check.ok
    assert "no Vulkan driver" in check.detail
    assert check.mend == "edge-autoglm setup gpu"


def test_a_machine_without_a_gpu_can_be_played(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_AUTOGLM_GPU", "none")
    check = found()["GPU check"]
    assert not check.ok
    assert "EDGE_AUTOGLM_GPU=none" in check.detail
    assert check.mend.startswith("unset EDGE_AUTOGLM_GPU")


def test_a_driver_that_does_not_work_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = manifest(tmp_path / "broken.json", tmp_path / "libmissing.so")
    monkeypatch.setenv("EDGE_AUTOGLM_GPU", str(path))
    check = found()["GPU check"]
    assert not check.ok
    assert str(path) in check.detail
    assert check.mend.startswith("unset EDGE_AUTOGLM_GPU")


def test_a_damaged_swiftshader_is_to_be_set_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loader = swiftshader().loader
    assert loader is not None
    monkeypatch.setenv("EDGE_AUTOGLM_CACHE", str(tmp_path))
    (tmp_path / "gpu").mkdir()
    (tmp_path / "gpu" / driver.LIBRARY).write_text("half")
    (tmp_path / "gpu" / driver.LOADER).symlink_to(loader)
    manifest(tmp_path / "gpu" / driver.MANIFEST, tmp_path / "gpu" / driver.LIBRARY)
    check = found()["GPU check"]
    assert not check.ok
    assert check.mend == "edge-autoglm setup gpu --force"


def test_a_litert_that_is_too_old_is_to_be_upgraded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ai_edge_litert").mkdir()
    (tmp_path / "ai_edge_litert" / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("EDGE_AUTOGLM_GPU", "swiftshader")
    gpu_checks._run.cache_clear()
    check = found()["GPU check"]
    assert not check.ok
    assert "lacks what runs a model" in check.detail
    assert check.mend == "pip install --upgrade ai-edge-litert"


def test_a_gpu_that_no_driver_serves_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_AUTOGLM_GPU", "swiftshader")
    swiftshader()
    monkeypatch.setattr(gpu_checks, "graphics_devices", lambda: (Path("/dev/dri/renderD128"),))
    check = found()["GPU check"]
    assert check.ok
    assert "/dev/dri/renderD128 is there" in check.detail


def test_a_litert_without_the_accelerator_has_the_line_that_mends_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = metadata.files("ai-edge-litert") or []
    monkeypatch.setattr(
        "edge_autoglm.gpu_checks.metadata.files",
        lambda _: [path for path in real if "Accelerator" not in path.name],
    )
    check = gpu_checks._litert()
    assert not check.ok
    assert "has none on this system" in check.detail
    assert check.mend == "pip install --upgrade ai-edge-litert"
