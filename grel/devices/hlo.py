"""Collective operations in a compiled program, as its HLO text tells them.

A program is a set of computations, one of them the entry; an instruction may call others. What a
loop calls runs as often as the loop goes round, so that it matters whether a collective is in one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

COLLECTIVES = (
    *("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute"),
    "collective-broadcast",
)
_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.-]+) \(.*\) -> .*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?[\w.-]+ = (.*?) ([a-z][\w-]*)\(")
_CALLED = re.compile(r"\b(\w+)=(?:%?([\w.-]+)|\{([^{}]*)\})")
_CALLS = ("calls", "to_apply", "body", "condition", "branch_computations", "called_computations")
_ARRAY = re.compile(r"\b(pred|[a-z]+(\d+)\w*)\[([\d,]*)\]")


class Collective(NamedTuple):
    """An instruction that exchanges data between devices.

    Attributes:
        name: of the operation, in `COLLECTIVES`.
        num_bytes: of its result.
        num_arrays: that it exchanges at once.
        in_loop: whether a loop runs it.
    """

    name: str
    num_bytes: int
    num_arrays: int
    in_loop: bool


def collectives(text: str) -> list[Collective]:
    """All of a program, in the order of the text."""
    calls: dict[str, set[str]] = {}
    looped: set[str] = set()
    found: list[tuple[str, str, str]] = []
    computation = ""
    for line in text.splitlines():
        if match := _COMPUTATION.match(line):
            computation = match[1]
            calls[computation] = set()
        elif match := _INSTRUCTION.match(line):
            result, operation = match.groups()
            called = set(_called(line))
            calls[computation] |= called
            if operation == "while":
                looped |= called
            # An asynchronous one is counted where it ends: what starts it may have its operands
            # among the results.
            name = operation.removesuffix("-done")
            if name in COLLECTIVES:
                found.append((computation, name, result))
    inside = _reached(looped, calls)
    return [
        Collective(name, *_size(result), computation in inside)
        for computation, name, result in found
    ]


def _called(line: str) -> Iterator[str]:
    for key, name, names in _CALLED.findall(line):
        if key in _CALLS:
            yield from [name] if name else [n.strip().lstrip("%") for n in names.split(",")]


def _reached(starts: set[str], calls: dict[str, set[str]]) -> set[str]:
    """These computations, and all that they call."""
    reached: set[str] = set()
    waiting = list(starts)
    while waiting:
        computation = waiting.pop()
        if computation not in reached:
            reached.add(computation)
            waiting.extend(calls.get(computation, ()))
    return reached


def _size(result: str) -> tuple[int, int]:
    """Bytes and number of the arrays of a result's type: f32[2,3]{1,0} has 24."""
    arrays = [
        math.prod(map(int, filter(None, shape.split(",")))) * max(8, int(bits or 8)) // 8
        for _, bits, shape in _ARRAY.findall(re.sub(r"\{[^{}]*\}", "", result))
    ]
    return sum(arrays), len(arrays)
