"""One profile run with all that is known around it: sizes, compiler, a verdict, a bundle."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from edge_autoglm import __version__
from edge_autoglm.device.messages import LogLine, ModelInfo
from edge_autoglm.device.ports import Port, open_port
from edge_autoglm.device.session import Session
from edge_autoglm.report.profile import profile_json
from edge_boards import Board
from edge_quantize.errors import QuantizeError

from .builds import Build, recall
from .bundle import write_bundle, write_next
from .candidates import Candidate, candidate
from .counts import counter_of
from .distance import Distance
from .profile import SEED, Profile, Verdict, profile_board, tolerance
from .verify import infer_generated

RUNS_FOLDER = "runs"


def run_profile(
    board: Board,
    port: Port,
    *,
    runs: int | None = None,
    warmup: int | None = None,
    model: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Profile, tuple[LogLine, ...]]:
    """Profiles the board at `port`; adds what its build and its model's file tell.

    Raises TransportError, SessionError and its kin.
    """
    with Session(open_port(port)) as session:
        chosen = session.model(model)
        profile = profile_board(
            session, board, chosen, virtual=port.is_virtual,
            counter=counter_of(port, session.info), runs=runs, warmup=warmup, progress=progress,
        )  # fmt: skip
        build = recall(profile.build_id)
        found = _candidate(build, chosen)
        if isinstance(found, str):
            profile = replace(profile, not_compared=found)
        else:
            profile = replace(profile, verdict=verdict(session, chosen, found))
        return with_build(profile, build), session.logs()


def with_build(profile: Profile, build: Build | None) -> Profile:
    """The profile with what only the build knows."""
    if build is None:
        return profile
    memory = replace(
        profile.memory, code=build.code, static_ram=build.static_ram, weights=build.weights
    )
    return replace(profile, memory=memory, toolchain=build.toolchain)


def _candidate(build: Build | None, model: ModelInfo) -> Candidate | str:
    """The model's file, if this machine built the image and the file is still the same; else why
    there is none."""
    if build is None:
        return "the image was not built here"
    if build.model is None:
        return "the image was built from an exported folder"
    path = Path(build.model)
    try:
        found = candidate(path)
    except QuantizeError:
        return f"{path.name} cannot be read any more"
    if bytes.fromhex(found.graph.sha256) != model.sha256:
        return f"{path.name} is not what the board carries"
    return found


def verdict(session: Session, model: ModelInfo, of: Candidate) -> Verdict:
    """One inference on generated input, on the board and in the host's reference."""
    reference = of.reference()
    arrays, outputs, _ = infer_generated(session, model, of.graph, SEED)
    distance = Distance(of.floating)
    distance.add(reference.run(arrays), outputs)
    return Verdict(
        reference.name,
        distance.none and reference.bit_exact,
        distance.largest,
        1,
        tolerance(reference, of.floating),
        of.floating,
    )


def bundle(
    profile: Profile,
    port: Port,
    log: Sequence[LogLine],
    lines: Sequence[str],
    folder: Path | None = None,
) -> Path:
    """Leaves the run's bundle in `folder`, or in the next free one of `runs`.

    profile.json, log.txt, and the build's memory.map and plan.json where they are still what this
    build was made of. Raises BundleError when `folder` is taken, OSError.
    """
    said = [
        f"edge-autoglm {__version__}",
        f"{profile.board} at {port.name}, build {profile.build_id}, {profile.clock_hz} Hz",
        *(f"board: {line.detail}" for line in log),
        *lines,
    ]
    files = {
        "profile.json": (json.dumps(profile_json(profile), indent=2) + "\n").encode(),
        "log.txt": "".join(f"{line}\n" for line in said).encode(),
    }
    build = recall(profile.build_id)
    for kept in build.files if build else ():
        content = kept.content()
        if content is not None:
            files[kept.name] = content
    if folder is None:
        return write_next(Path(RUNS_FOLDER), files)
    return write_bundle(folder, files)
