"""One point of a search that is no good: named and counted, and the search goes on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import search_models as models

from edge_autoglm.search import study as studies
from edge_autoglm.search.budget import Budget
from edge_autoglm.search.judge import Judge
from edge_autoglm.search.search import Search
from edge_autoglm.search.space import Choice
from edge_autoglm.search.study import Identity, open_study
from edge_autoglm.search.target import Target
from edge_autoglm.search.workshop import Workshop
from edge_boards import load_board
from edge_quantize.errors import UnsoundResultError
from edge_quantize.graph import Graph

IDENTITY = Identity("m" * 64, "stm32f746", {}, "d" * 64, 3, 0)


@dataclass
class Unlucky(Workshop):
    """Whatever has fewer channels, or int4 weights, comes out wrong."""

    everything: bool = False

    def model(self, choice: Choice) -> Graph:
        if self.everything or choice.sparsity or choice.precisions:
            raise UnsoundResultError(f"{choice}: collapsed layer: 'mix' (CONV_2D)")
        return super().model(choice)


def search(
    folder: Path, lines: list[str], trials: int = 6, everything: bool = False, **limits: float
) -> Search:
    graph, data = models.classifier(), models.samples(60)
    budget = Budget(latency_ms=limits.get("latency_ms"))
    target = Target.of(load_board("stm32f746"), budget)
    workshop = Unlucky(graph, data, target, everything=everything)
    study = open_study(folder, None, IDENTITY)
    return Search(study, workshop, lambda: Judge(graph, data), budget, trials, 0, lines.append)


def test_a_point_that_comes_out_wrong_is_named_and_counted(tmp_path: Path) -> None:
    lines: list[str] = []
    found = search(tmp_path, lines)
    points = found.run()
    assert points
    assert not any(point.choice.sparsity or point.choice.precisions for point in points)
    assert found.wrong + len(points) == 6
    assert found.refused == 0
    named = [line for line in lines if "no good: " in line]
    assert len(named) == found.wrong
    assert "collapsed layer: 'mix'" in named[0]
    # The study knows it: it is not tried again.
    again = search(tmp_path, lines)
    assert again.run() == points
    assert again.wrong == found.wrong


def test_a_search_whose_points_all_come_out_wrong_ends_and_says_why(tmp_path: Path) -> None:
    found = search(tmp_path, [], everything=True)
    assert found.run() == ()
    assert found.wrong == 6
    assert "6 came out wrong, the first: nothing pruned: collapsed" in found.nothing_fits(())


def test_a_search_whose_points_are_all_refused_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(studies, "_MOST_REFUSED", 10)
    found = search(tmp_path, [], trials=1, latency_ms=1e-3)
    assert found.run() == ()
    assert found.wrong == 0
    assert found.refused == 10
    assert "the nearest: latency" in found.nothing_fits(())
