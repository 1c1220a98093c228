"""The memory planner: random programs never get overlapping, misaligned or outlying buffers."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_export.aot.liveness import analyse
from edge_export.aot.memory import MemoryPlan, Region
from edge_export.aot.planner import Pin, Pins, plan_memory
from edge_export.aot.program import (
    Buffer,
    BufferKind,
    Constant,
    ConstantKind,
    Layer,
    Program,
    Step,
    Struct,
)
from edge_export.errors import PlanError

DTCM = Region("dtcm", 4096, True, 0)
SRAM = Region("sram", 1 << 20, True, 1)
FLASH = Region("flash", 1 << 20, False, 200)
REGIONS = (DTCM, SRAM, FLASH)
NO_PARAMS = Struct("eag_params", ())


def make_program(
    steps: list[tuple[tuple[int, ...], int | None, tuple[int, ...]]],
    sizes: list[int],
    scratch: list[int],
    alignments: list[int] | None = None,
    constants: tuple[Constant, ...] = (),
    overlaps: list[tuple[tuple[int, int], ...]] | None = None,
) -> Program:
    """Step i reads the buffers `steps[i][0]`, writes buffer i + 1 (buffer 0 is the input), may
    alias `steps[i][1]`, allows overwriting the operand positions `steps[i][2]`, and overlapping
    them as `overlaps[i]` says."""
    alignments = alignments or [4] * len(sizes)
    kinds = [BufferKind.INPUT] + [BufferKind.ACTIVATION] * (len(sizes) - 2) + [BufferKind.OUTPUT]
    aliases = [None, *(step[1] for step in steps)]
    buffers = [
        Buffer(f"b{i}", size, kind, alignment, i, None if alias is None else f"b{alias}")
        for i, (size, kind, alignment, alias) in enumerate(
            zip(sizes, kinds, alignments, aliases, strict=True)
        )
    ]
    made = []
    for index, (reads, _, in_place) in enumerate(steps):
        name = None
        if scratch[index]:
            name = f"s{index}"
            buffers.append(Buffer(name, scratch[index], BufferKind.SCRATCH, 8))
        made.append(
            Step(
                index=index,
                layer=index,
                kernel="eag_test",
                params=NO_PARAMS,
                operands=tuple(f"b{r}" for r in reads),
                results=(f"b{index + 1}",),
                scratch=name,
                in_place=in_place,
                overlap=overlaps[index] if overlaps else (),
            )
        )
    return Program(
        name="net",
        model_sha256="00" * 32,
        layers=tuple(Layer(i, f"l{i}", "ADD", 0) for i in range(len(steps))),
        steps=tuple(made),
        buffers=tuple(buffers),
        constants=constants,
        inputs=("b0",),
        outputs=(f"b{len(sizes) - 1}",),
        kernel_sources=(),
    )


@st.composite
def programs(draw: st.DrawFn) -> Program:
    count = draw(st.integers(1, 12))
    sizes = draw(st.lists(st.integers(1, 3000), min_size=count + 1, max_size=count + 1))
    scratch = draw(
        st.lists(st.one_of(st.just(0), st.integers(1, 900)), min_size=count, max_size=count)
    )
    alignments = draw(
        st.lists(st.sampled_from([1, 4, 8, 16]), min_size=count + 1, max_size=count + 1)
    )
    steps = []
    overlaps = []
    for index in range(count):
        # The previous result, and now and then something older: branches and skip connections.
        reads = [index]
        if draw(st.booleans()):
            reads.append(draw(st.integers(0, index)))
        in_place = tuple(p for p in range(len(reads)) if draw(st.booleans()))
        steps.append((tuple(reads), None, in_place))
        overlaps.append(
            tuple((p, draw(st.integers(0, 4000))) for p in range(len(reads)) if draw(st.booleans()))
        )
    return make_program(steps, sizes, scratch, alignments, overlaps=overlaps)


def check_sound(program: Program, plan: MemoryPlan, regions: tuple[Region, ...]) -> None:
    """The rules of a plan, stated from the steps alone (not from the planner's own liveness)."""
    capacity = {region.name: region.capacity for region in regions}
    places = {p.name: p for p in plan.placements}
    arena = dict(plan.arena)
    for buffer in program.buffers:
        place = places[buffer.name]
        assert place.offset % buffer.alignment == 0
        assert place.offset >= 0
        assert place.offset + buffer.size <= arena[place.region] <= capacity[place.region]
    reads = {
        b.name: [s.index for s in program.steps if b.name in s.operands] for b in program.buffers
    }
    # Walk the steps with the bytes that must survive each: who owns which byte.
    owned: dict[tuple[str, int], str] = {}

    def write(name: str) -> None:
        place = places[name]
        for byte in range(place.offset, place.offset + place.size):
            owned[(place.region, byte)] = name

    def intact(name: str) -> bool:
        place = places[name]
        return all(
            owned.get((place.region, byte)) == name
            for byte in range(place.offset, place.offset + place.size)
        )

    for name in program.inputs:
        write(name)
    for step in program.steps:
        for name in step.operands:
            assert intact(name), f"step {step.index} reads {name} after it was overwritten"
        if step.scratch:
            write(step.scratch)
            for name in step.operands:
                assert intact(name), f"the scratch of step {step.index} overlaps {name}"
        for name in step.results:
            write(name)
            if step.scratch:
                assert intact(step.scratch)
        for position, name in enumerate(step.operands):
            if not intact(name):
                result, operand = places[step.results[0]], places[name]
                assert result.region == operand.region
                before = operand.offset - result.offset
                distance = dict(step.overlap).get(position)
                in_place = before == 0 and position in step.in_place
                assert in_place or (distance is not None and before >= distance)
                assert max(reads[name]) == step.index
    for name in program.outputs:
        assert intact(name)


@given(programs())
@settings(max_examples=60, deadline=None)
def test_no_buffer_is_overwritten_while_it_is_needed(program: Program) -> None:
    plan = plan_memory(program, REGIONS, "board")
    check_sound(program, plan, REGIONS)


@given(programs())
@settings(max_examples=30, deadline=None)
def test_one_region_is_within_a_third_of_the_liveness_bound(program: Program) -> None:
    plan = plan_memory(program, (SRAM, FLASH), "board")
    slack = sum(b.alignment for b in program.buffers)
    assert plan.liveness_bound <= plan.arena_bytes <= 1.34 * plan.liveness_bound + slack


@given(programs())
@settings(max_examples=8, deadline=None)
def test_the_same_program_gets_the_same_plan(program: Program) -> None:
    assert plan_memory(program, REGIONS, "board") == plan_memory(program, REGIONS, "board")


@given(programs(), st.data())
@settings(max_examples=30, deadline=None)
def test_a_plan_pinned_in_part_keeps_its_pins_and_stays_sound(
    program: Program, data: st.DataObject
) -> None:
    plan = plan_memory(program, REGIONS, "board")
    chosen = data.draw(st.lists(st.sampled_from(plan.placements), unique_by=lambda p: p.name))
    pins = Pins(buffers={p.name: Pin(p.region, p.offset) for p in chosen})
    again = plan_memory(program, REGIONS, "board", pins)
    check_sound(program, again, REGIONS)
    for placement in chosen:
        assert again.place(placement.name).offset == placement.offset
        assert again.place(placement.name).region == placement.region


def chain(in_place: tuple[int, ...] = (), sizes: list[int] | None = None) -> Program:
    return make_program(
        [((0,), None, in_place), ((1,), None, in_place)], sizes or [1000, 1000, 1000], [0, 0]
    )


def test_a_chain_of_in_place_steps_needs_one_buffer() -> None:
    plan = plan_memory(chain(in_place=(0,)), REGIONS, "board")
    assert plan.arena == (("dtcm", 1000),)
    assert plan.liveness_bound == 1000


def test_without_leave_to_overwrite_a_chain_needs_two_buffers() -> None:
    plan = plan_memory(chain(), REGIONS, "board")
    assert plan.arena == (("dtcm", 2000),)
    assert plan.liveness_bound == 2000


def test_a_result_may_start_a_distance_before_its_dying_operand() -> None:
    program = make_program([((0,), None, ())], [1000, 1000], [0], overlaps=[((0, 96),)])
    plan = plan_memory(program, REGIONS, "board")
    check_sound(program, plan, REGIONS)
    assert plan.liveness_bound == plan.arena_bytes == 1096
    assert plan.place("b0").offset - plan.place("b1").offset == 96


def test_a_growing_result_ends_over_its_operand() -> None:
    program = make_program([((0,), None, ())], [1000, 2000], [0], overlaps=[((0, 1000),)])
    plan = plan_memory(program, REGIONS, "board")
    check_sound(program, plan, REGIONS)
    assert plan.arena_bytes == 2000


def test_an_operand_still_needed_is_not_overlapped() -> None:
    program = make_program(
        [((0,), None, ()), ((1, 0), None, ())],
        [100, 100, 100],
        [0, 0],
        overlaps=[((0, 0),), ()],
    )
    plan = plan_memory(program, REGIONS, "board")
    check_sound(program, plan, REGIONS)
    assert plan.arena_bytes == 300


def test_an_operand_read_later_is_not_overwritten() -> None:
    program = make_program([((0,), None, (0,)), ((1, 0), None, (0,))], [100, 100, 100], [0, 0])
    plan = plan_memory(program, REGIONS, "board")
    check_sound(program, plan, REGIONS)
    assert plan.arena_bytes == 200


def test_an_operand_passed_twice_is_overwritten_only_if_both_positions_allow_it() -> None:
    once = make_program([((0, 0), None, (0,))], [100, 100], [0])
    twice = make_program([((0, 0), None, (0, 1))], [100, 100], [0])
    assert plan_memory(once, REGIONS, "board").arena_bytes == 200
    assert plan_memory(twice, REGIONS, "board").arena_bytes == 100


def test_an_alias_shares_its_operands_address_and_keeps_it_alive() -> None:
    program = make_program(
        [((0,), None, ()), ((1,), None, ()), ((2,), None, ())], [64, 64, 64, 64], [0, 0, 0]
    )
    buffers = list(program.buffers)
    buffers[1] = replace(buffers[1], alias_of="b0")
    steps = (
        replace(program.steps[1], index=0, layer=1),
        replace(program.steps[2], index=1, layer=2),
    )
    program = replace(program, buffers=tuple(buffers), steps=steps)
    plan = plan_memory(program, REGIONS, "board")
    assert plan.place("b1").offset == plan.place("b0").offset
    assert plan.place("b2").offset != plan.place("b1").offset


def test_scratch_is_counted() -> None:
    program = make_program([((0,), None, ())], [100, 100], [300])
    plan = plan_memory(program, REGIONS, "board")
    assert plan.liveness_bound == 500
    assert plan.arena_bytes >= 500
    assert plan.place("s0").kind == "scratch"


def test_what_does_not_fit_the_first_region_goes_to_the_second_whole() -> None:
    plan = plan_memory(chain(sizes=[3000, 3000, 100]), REGIONS, "board")
    assert dict(plan.arena).keys() == {"dtcm", "sram"}
    assert plan.arena_bytes == 6000


def test_too_much_for_the_board_names_the_largest_and_what_would_help() -> None:
    with pytest.raises(PlanError, match=r"b1 3,000 B.*smaller input.*more RAM"):
        plan_memory(chain(sizes=[10, 3000, 3000]), (DTCM, FLASH), "board")
    with pytest.raises(PlanError, match=r"buffer b1 needs 9,000 B.*4,096 B"):
        plan_memory(chain(sizes=[10, 9000, 10]), (DTCM, FLASH), "board")


def constants(*sizes: int) -> tuple[Constant, ...]:
    return tuple(
        Constant(f"c{i}", np.zeros(size, np.int8), ConstantKind.WEIGHTS, 4)
        for i, size in enumerate(sizes)
    )


def with_constants(*sizes: int) -> Program:
    return make_program([((0,), None, ())], [64, 64], [0], constants=constants(*sizes))


def test_constants_lie_in_flash_one_after_the_other() -> None:
    plan = plan_memory(with_constants(5, 9), REGIONS, "board")
    assert [(plan.place(n).region, plan.place(n).offset) for n in ("c0", "c1")] == [
        ("flash", 0),
        ("flash", 8),
    ]


def test_a_constant_moved_to_ram_takes_its_room_from_the_arena() -> None:
    pins = Pins(constants={"c1": Pin("dtcm")})
    plan = plan_memory(with_constants(5, 4000), REGIONS, "board", pins)
    assert plan.place("c1").region == "dtcm"
    assert dict(plan.arena) == {"sram": 128} or dict(plan.arena) == {"dtcm": 64, "sram": 64}


def test_the_hole_before_a_pinned_constant_in_ram_is_no_room_for_the_arena() -> None:
    pins = Pins(constants={"c0": Pin("dtcm", 4096 - 40)}, buffers={"b0": Pin("dtcm")})
    with pytest.raises(PlanError, match="activations do not fit"):
        plan_memory(with_constants(40), REGIONS, "board", pins)


def test_constants_too_large_for_flash_are_refused_by_name() -> None:
    small = replace(FLASH, capacity=100)
    with pytest.raises(PlanError, match=r"constants need 120 B of flash.*c1 80 B"):
        plan_memory(with_constants(40, 80), (DTCM, small), "board")


@pytest.mark.parametrize(
    ("pins", "message"),
    [
        (Pins(buffers={"nope": Pin("dtcm", 0)}), "buffer 'nope' is not in this model"),
        (Pins(constants={"nope": Pin("flash", 0)}), "constant 'nope' is not in this model"),
        (Pins(buffers={"b0": Pin("tcm", 0)}), "no region 'tcm' on this board"),
        (Pins(buffers={"b0": Pin("flash", 0)}), "flash cannot be written to"),
        (Pins(buffers={"b0": Pin("dtcm", 2)}), "misaligned, it needs a multiple of 4"),
        (Pins(buffers={"b0": Pin("dtcm", -4)}), r"b0 at dtcm-4: the offset is negative"),
        (Pins(constants={"c0": Pin("flash", -4)}), "the offset is negative"),
        (Pins(buffers={"b0": Pin("dtcm", 4092)}), "end past the 4,096 B of dtcm"),
        (Pins(buffers={"b0": Pin(None, 4)}), "an offset needs a region"),
        (
            Pins(buffers={"b0": Pin("dtcm", 0), "b1": Pin("dtcm", 32)}),
            "overlaps b0 .0 to 64., alive in the same step 0|overlaps b1 .32 to 96.",
        ),
        (
            Pins(constants={"c0": Pin("flash", 0), "c1": Pin("flash", 4)}),
            "overlaps c0",
        ),
        (Pins(constants={"c0": Pin("flash", 2)}), "misaligned"),
        (Pins(constants={"c0": Pin("flash", 1 << 30)}), r"constants need 1,073,741,864 B of flash"),
        (Pins(constants={"c0": Pin("sram", 1 << 30)}), r"constants need 1,073,741,864 B of sram"),
    ],
)
def test_an_impossible_pin_is_refused_with_its_reason(pins: Pins, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        plan_memory(with_constants(40, 40), REGIONS, "board", pins)


def test_the_bound_counts_an_in_place_result_once() -> None:
    program = make_program([((0,), None, (0,))], [500, 400], [20])
    assert analyse(program).bound == 520


def test_constants_in_a_second_flash_do_not_count_in_the_first() -> None:
    small = replace(FLASH, capacity=100)
    qspi = Region("qspi", 1 << 20, False, 201)
    pins = Pins(constants={"c1": Pin("qspi")})
    plan = plan_memory(with_constants(40, 80), (DTCM, small, qspi), "board", pins)
    assert plan.place("c0").region == "flash"
    assert plan.place("c1").region == "qspi"


def test_a_network_of_many_layers_is_planned_in_seconds() -> None:
    layers = 400
    program = make_program(
        [((i,), None, ()) for i in range(layers)],
        [200 + (i * 7919) % 1000 for i in range(layers + 1)],
        [(i * 31) % 90 for i in range(layers)],
    )
    start = time.process_time()
    plan = plan_memory(program, REGIONS, "board")
    assert time.process_time() - start < 20
    check_sound(program, plan, REGIONS)
