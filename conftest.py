"""The skip policy of the whole suite: every skip is listed with its reason, and with
`--allowed-skips FILE` one that no pattern of FILE matches fails the run."""

from __future__ import annotations

import fnmatch
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--allowed-skips",
        metavar="FILE",
        help="fail when a test is skipped that no pattern in FILE matches ('nodeid: reason')",
    )


def _skips(terminal: object) -> list[str]:
    lines = []
    for report in getattr(terminal, "stats", {}).get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        lines.append(f"{report.nodeid}: {reason.removeprefix('Skipped: ')}")
    return sorted(set(lines))


def _unexpected(config: pytest.Config) -> list[str]:
    name = config.getoption("--allowed-skips")
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if not name or terminal is None:
        return []
    patterns = [
        line.strip()
        for line in Path(name).read_text(encoding="utf-8").splitlines()
        if line.strip() and not line.startswith("#")
    ]
    return [
        skip
        for skip in _skips(terminal)
        if not any(fnmatch.fnmatchcase(skip, pattern) for pattern in patterns)
    ]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    # Workers of pytest-xdist have no terminal; the controller sees every report.
    if _unexpected(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    skips = _skips(terminalreporter)
    terminalreporter.section(f"{len(skips)} skipped")
    for line in skips:
        terminalreporter.write_line(line)
    unexpected = _unexpected(config)
    if unexpected:
        terminalreporter.section("skips that are not allowed here", red=True)
        for line in unexpected:
            terminalreporter.write_line(line)
