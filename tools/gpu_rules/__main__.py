"""What LiteRT's GPU backend takes, operator by operator, beside what our rules say.

    python tools/gpu_rules            # asks the backend; exit 1 where the rules say otherwise
    python tools/gpu_rules --write    # asks, and writes the rules' litert_gpu.json
    python tools/gpu_rules --only CONV_2D

Each operator goes alone, in some thousand forms (element types, dimensions, constants, options,
versions), to LiteRT's CompiledModel with the GPU as its only accelerator. Needs a Vulkan driver;
`edge-autoglm setup gpu` brings a software one. Takes three minutes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(Path(__file__).resolve().parents[1])]
sys.path[:0] = [str(ROOT / name) for name in ("quantize", "export", "boards")]

from edge_export.mobile.rules.findings import RECORD, plain  # noqa: E402
from edge_export.mobile.rules.litert import rule_set  # noqa: E402
from edge_export.mobile.rules.node import node_of  # noqa: E402
from edge_quantize.graph.writer import write_tflite  # noqa: E402
from gpu_rules.ask import Finding, adapter, ask  # noqa: E402
from gpu_rules.cases import Case, cases  # noqa: E402

_SAYS_NOTHING = "unloadable"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help=f"write {RECORD.name}")
    parser.add_argument("--only", default="", metavar="OP", help="this operator alone")
    options = parser.parse_args()
    if options.write and options.only:
        parser.error("--write needs all operators")
    asked = [case for case in cases() if case.name.startswith(options.only)]
    found = ask([write_tflite(case.graph) for case in asked])
    learnt = [(c, f) for c, f in zip(asked, found, strict=True) if f.place != _SAYS_NOTHING]
    wrong, words = compared(learnt)
    loaded = f"{len(asked)} models, {len(learnt)} that LiteRT loads"
    print(f"{loaded}; the rules are wrong for {len(wrong)}")
    for line in wrong:
        print(f"  {line}")
    broken = [(case.name, finding.broken) for case, finding in learnt if finding.broken]
    print(f"{len(broken)} are taken, and the log then says that their program is broken")
    for name, said in broken:
        print(f"  {name}: {said}")
    if options.write:
        RECORD.write_text(record(learnt, words), "utf-8")
        print(RECORD)
    return 1 if wrong else 0


def compared(learnt: list[tuple[Case, Finding]]) -> tuple[list[str], dict[str, set[str]]]:
    """Where the rules say otherwise than the backend; and what the backend says for each code."""
    rules = rule_set("")
    wrong: list[str] = []
    words: dict[str, set[str]] = defaultdict(set)
    for case, finding in learnt:
        if finding.place == "dynamic":
            continue  # refused for the model, not for the operator
        (operator,) = case.graph.operators
        refusal = rules.refusal(node_of(case.graph, operator, {}))
        if (refusal is None) != (finding.place == "gpu"):
            ours = "takes it" if refusal is None else refusal.why
            wrong.append(f"{case.name}: the backend: {finding.place} {finding.words}; ours: {ours}")
        elif refusal is not None:
            said = finding.words if finding.place == "cpu" else finding.place
            words[refusal.code].add(plain(said))
    return wrong, words


def record(learnt: list[tuple[Case, Finding]], words: Mapping[str, set[str]]) -> str:
    """The file: model names by where they went and by the backend's words, one a line."""
    places: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for case, finding in learnt:
        places[finding.place][finding.words].append(case.name)
    content = {
        "made_by": "python tools/gpu_rules --write",
        "runtime": f"LiteRT {version('ai-edge-litert')}",
        "adapter": adapter(),
        "words": {code: sorted(words[code]) for code in sorted(words)},
        "places": places,
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
