"""Kernels of the whole table, compiled once for all tests that call them."""

from __future__ import annotations

import shutil

import pytest
from kernel_harness import KERNELS, ArmKernels, HostKernels

SOURCES = tuple(sorted(path.name for path in KERNELS.glob("*.c")))


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> HostKernels:
    return HostKernels(tmp_path_factory.mktemp("host"), SOURCES)


@pytest.fixture(scope="session", params=["gcc", "zig"])
def arm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ArmKernels:
    pytest.importorskip("unicorn", reason="no unicorn: install edge-autoglm[virtual]")
    if request.param == "gcc" and shutil.which("arm-none-eabi-gcc") is None:
        pytest.skip("no arm-none-eabi-gcc on PATH")
    if request.param == "zig":
        pytest.importorskip("ziglang", reason="no ziglang: install edge-autoglm[zig]")
    return ArmKernels(tmp_path_factory.mktemp("arm"), SOURCES, request.param)
