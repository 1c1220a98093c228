"""The page of a report: whole in itself, well-formed, and saying what the JSON says."""

import itertools
import json
import math
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from edge_autoglm.measure.figures import Figure, Kind
from edge_autoglm.report.html import _STYLE, html
from edge_autoglm.report.plots import _ticks, scatter
from edge_autoglm.report.quantization import points_table, report_tables
from edge_autoglm.report.summary import (
    QUANTITIES,
    Bar,
    Bars,
    Grid,
    Point,
    Report,
    Stage,
    report_json,
)
from edge_quantize.intervals import Interval
from edge_quantize.quality import LayerQuality

SVG = "{http://www.w3.org/1999/xhtml}svg"


def layer(name, sqnr, hurts=False):
    return LayerQuality(name, "CONV_2D", name, sqnr, 0.1, 0.5, 0.99, hurts)


def full(name="model") -> Report:
    before = {"macs": Figure(1000, Kind.EXACT), "accuracy": Interval(0.91, 0.88, 0.93)}
    after = {
        "macs": Figure(400, Kind.EXACT),
        "latency_ms": Figure(12.345, Kind.MODELLED),
        "accuracy": Interval(0.9, 0.87, 0.925),
        "sqnr_db": Figure(17.25, Kind.EXACT),
    }
    points = tuple(
        Point(
            f"{name} {n}",
            {"flash": Figure(1000 * n, Kind.EXACT), "error": Interval(1 / n, 0.5 / n, 2 / n)},
            chosen=n == 2,
            front=True,
        )
        for n in range(1, 5)
    )
    return Report(
        f"Report of {name}",
        Stage(f"{name} float", before),
        Stage(f"{name} int8", after),
        (layer("a", math.inf), layer("b", 19.5, True), layer("c", 12.0)),
        points,
        (("flash", "error"),),
        (Bars("Costs", "dB", (Bar("x", 3.0, marked=True), Bar("y", None), Bar("z", -math.inf))),),
        (Grid("Extra", ("~what", ">count"), (("one", 1), (name, None))),),
        (("model", name),),
        (f"a note on {name}",),
        {"a": "first", "b": "second"},
    )


def test_the_page_is_well_formed_as_xml_and_as_html():
    page = html(full())
    root = ElementTree.fromstring(page.replace("<!DOCTYPE html>", ""))
    assert root.tag.endswith("html")

    class Balanced(HTMLParser):
        def __init__(self):
            super().__init__()
            self.open = []

        def handle_starttag(self, tag, _attributes):
            self.open.append(tag)

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

        def handle_startendtag(self, _tag, _attributes):
            pass

    parser = Balanced()
    parser.feed(page)
    assert parser.open == []


def test_nothing_is_loaded_from_anywhere_and_nothing_runs():
    page = html(full())
    for word in ("<script", "src=", "href=", "url(", "@import", "<link", "<iframe", "onload"):
        assert word not in page
    # The only address is the name of the XHTML language, which nothing fetches.
    assert set(re.findall(r"https?://[^\"' ]+", page)) == {"http://www.w3.org/1999/xhtml"}
    assert "default-src 'none'" in page


@given(st.text(max_size=40))
def test_any_name_is_text_on_the_page(name):
    page = html(full(name))
    root = ElementTree.fromstring(page.replace("<!DOCTYPE html>", ""))
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)
    (title,) = root.iter("{http://www.w3.org/1999/xhtml}h1")
    assert title.text == f"Report of {shown}"


def test_the_same_report_is_the_same_bytes():
    assert html(full()) == html(full())


def test_every_plot_tells_what_it_shows_to_those_who_do_not_see_it():
    root = ElementTree.fromstring(html(full()).replace("<!DOCTYPE html>", ""))
    plots = list(root.iter(SVG))
    assert len(plots) == 5  # ratios, accuracy, scatter, chart, layers
    names = set()
    for plot in plots:
        assert plot.get("role") == "img"
        title, text = plot[0], plot[1]
        assert plot.get("aria-labelledby") == f"{title.get('id')} {text.get('id')}"
        assert title.text
        assert text.text
        names |= {title.get("id"), text.get("id")}
    assert len(names) == 10
    assert "Marked: second." in html(full())
    assert "Chosen: 2 model 2." in html(full())


def test_what_the_page_shows_is_what_the_json_says():
    report = full()
    page, document = html(report), json.loads(json.dumps(report_json(report), allow_nan=False))
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", page)
    assert document["after"]["figures"]["latency_ms"] == {"value": 12.345, "kind": "modelled"}
    assert "12.35" in cells or "12.34" in cells
    accuracy = document["after"]["figures"]["accuracy"]
    shown = (
        f"{100 * accuracy['value']:.2f} ({100 * accuracy['low']:.2f}..{100 * accuracy['high']:.2f})"
    )
    assert shown in cells
    for point in document["points"]:
        assert f"{point['figures']['flash']['value']:,.0f}" in cells
    assert document["layers"][0]["sqnr_db"] is None  # JSON has no infinity
    assert [entry["name"] for entry in document["layers"]] == ["first", "second", "c"]
    for entry in document["layers"][1:]:
        assert f"{entry['sqnr_db']:.2f}" in cells
    assert "exact" in cells
    assert "modelled" in cells


def test_the_first_layer_that_hurts_is_marked_and_named():
    page = html(full())
    assert "The first layer that hurts is second" in page
    assert len(re.findall(r'<rect class="mark"', page)) == 2  # it, and the chart's own mark
    assert '<tr class="marked"><td class="number">1</td><td class="name">second</td>' in page


def test_the_chosen_point_is_ringed_and_the_best_are_joined():
    page = html(full())
    assert page.count('class="ring"') == 1
    assert page.count('class="front"') == 3


def test_points_that_cover_each_other_keep_their_numbers():
    figures = {"flash": Figure(1000, Kind.EXACT), "latency_ms": Figure(1.0, Kind.MEASURED)}
    same = tuple(Point(f"p{n}", figures, chosen=n == 1, front=n < 3) for n in range(1, 6))
    root = ElementTree.fromstring(scatter(same, "latency_ms", "flash", "s"))
    said = " ".join(text.text for text in root.iter("text") if text.get("class") == "strong")
    assert set(re.findall(r"[0-9]", said)) == {"1", "2", "3", "4", "5"}


def test_a_line_is_spoken_of_where_there_is_one():
    assert "The line joins" in html(full())
    one = replace(full(), points=full().points[:1])
    assert "The line joins" not in html(one)
    assert "Filled:" in html(one)


def test_a_table_of_points_has_names_and_units_for_people(capsys):
    report = replace(full(), points_text="Those that were built")
    assert "Those that were built" in html(report)
    Console(width=80).print(points_table(report.points))
    assert "flash, B" in capsys.readouterr().out
    for key, quantity in QUANTITIES.items():
        assert "_" not in quantity.heading
        assert key == "macs" or quantity.unit in quantity.heading


def test_a_report_of_nothing_is_a_page_too():
    ElementTree.fromstring(html(Report("Nothing")).replace("<!DOCTYPE html>", ""))
    single = Report("One", after=Stage("m", {"macs": Figure(1, Kind.EXACT)}))
    assert "<h2>Figures</h2>" in html(single)


@given(st.lists(st.floats(-1e9, 1e9).filter(lambda v: abs(v) > 1e-6), min_size=1, max_size=9))
def test_an_axis_holds_all_its_values_with_few_ticks(values):
    ticks = _ticks(values)
    slack = 1e-6 * max(map(abs, ticks))
    assert ticks[0] <= min(values) + slack
    assert ticks[-1] >= max(values) - slack
    assert 2 <= len(ticks) <= 8
    assert all(a < b for a, b in itertools.pairwise(ticks))


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1, 2], ids=["light", "dark", "print"])
@pytest.mark.parametrize(
    ("name", "least"), [("ink", 7), ("soft", 4.5), ("bar", 3), ("mark", 3), ("other", 3)]
)
def test_colours_stand_out_from_the_paper(scheme, name, least):
    """WCAG 2: 4.5 to 1 for text, 3 to 1 for graphics."""
    colours = [re.findall(rf"--{key}: (#[0-9a-f]{{6}})", _STYLE)[scheme] for key in (name, "paper")]
    one, other = sorted(map(luminance, colours), reverse=True)
    assert (one + 0.05) / (other + 0.05) >= least


def test_console_tables_fit_80_columns(monkeypatch, capsys):
    from rich.console import Console

    monkeypatch.setenv("COLUMNS", "80")
    console = Console(width=80, highlight=False)
    for made in report_tables(full("a_model_with_quite_a_long_name_indeed")):
        console.print(made)
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert "0.87" not in out  # shares are percent
    assert "87.00..92.50" in out


def test_every_figure_has_a_unit_or_is_a_plain_count():
    for quantity in QUANTITIES.values():
        assert quantity.kind in ("count", "share", "points", "real")
        assert quantity.unit or quantity.kind in ("count", "real")
