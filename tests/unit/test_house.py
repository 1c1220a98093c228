"""The house rules that a machine can check."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FLOORS = {
    "edge_autoglm": ROOT / "edge_autoglm",
    "edge_export": ROOT / "export" / "edge_export",
    "edge_boards": ROOT / "boards" / "edge_boards",
    "edge_quantize": ROOT / "quantize" / "edge_quantize",
}
MAY_IMPORT = {
    "edge_autoglm": {"edge_autoglm", "edge_export", "edge_boards", "edge_quantize"},
    "edge_export": {"edge_export", "edge_boards", "edge_quantize"},
    "edge_boards": {"edge_boards"},
    "edge_quantize": {"edge_quantize"},
}
MODULES = [
    (package, path) for package, folder in FLOORS.items() for path in sorted(folder.rglob("*.py"))
]


def imported(path: Path, package: str) -> set[str]:
    """Absolute names of the modules that `path` imports, relative ones resolved."""
    folder = FLOORS[package]
    parts = [package, *path.relative_to(folder).with_suffix("").parts]
    parent = parts[:-1]
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                base = parent[: len(parent) - node.level + 1]
                names.add(".".join([*base, node.module] if node.module else base))
            elif node.module:
                names.add(node.module)
    return names


@pytest.mark.parametrize(("package", "path"), MODULES, ids=lambda v: getattr(v, "stem", v))
def test_imports_point_downward(package: str, path: Path) -> None:
    packages = {name.split(".")[0] for name in imported(path, package)}
    assert packages & set(FLOORS) <= MAY_IMPORT[package]


def test_modules_stay_readable() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for _, path in MODULES
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 500
    }
    assert not long, f"past 500 lines, to be split: {long}"


@pytest.mark.parametrize("package", sorted(FLOORS))
def test_the_tree_of_errors_names_every_error_of_a_package(package: str) -> None:
    tree = ast.get_docstring(ast.parse((FLOORS[package] / "errors.py").read_text("utf-8"))) or ""
    classes = {
        node.name: {base.id for base in node.bases if isinstance(base, ast.Name)}
        for _, path in MODULES
        if path.is_relative_to(FLOORS[package])
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    }
    known = set(re.findall(r"\w+Error\b", tree))
    assert known
    public = {name for name in classes if name.endswith("Error") and name[0] != "_"}
    assert {name for name in public if classes[name] & known} <= known


@pytest.mark.parametrize("package", sorted(FLOORS))
def test_importing_a_package_brings_nothing_heavy(package: str) -> None:
    heavy = "{'unicorn', 'capstone', 'tflite_micro', 'tensorflow', 'torch', 'ziglang', 'sklearn'}"
    roots = [str(ROOT), *(str(ROOT / name) for name in ("quantize", "export", "boards"))]
    code = (
        f"import sys; sys.path[:0] = {roots!r}; import {package}; "
        f"print(sorted({heavy} & set(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


def test_no_place_of_a_developers_machine_stands_in_the_tree() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    pattern = re.compile(r"/(?:home|Users|work)/\w+/|/root/")
    found = []
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if (
            path.suffix in {".py", ".c", ".h", ".md", ".toml", ".json", ".txt", ""}
            and path.exists()
        ):
            text = path.read_text(encoding="utf-8", errors="replace")
            found += [name] if pattern.search(text) and path != Path(__file__) else []
    assert not found
