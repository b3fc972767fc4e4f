"""The passes, in order: each takes a valid program and gives a valid program."""

from __future__ import annotations

from collections.abc import Callable

from specdl.ir.program import Program
from specdl.ir.verify import InvalidProgram, verify
from specdl.passes.gradients import prepare_gradients
from specdl.passes.liveness import mark_liveness
from specdl.passes.sharing import share_functions
from specdl.passes.unread import drop_unread_inputs

PASSES: tuple[Callable[[Program], Program], ...] = (
    drop_unread_inputs,
    share_functions,
    prepare_gradients,
    mark_liveness,
)


def run_passes(program: Program) -> Program:
    """The program after all passes. A pass that breaks it is named."""
    verify(program)
    for transform in PASSES:
        try:
            program = verify(transform(program))
        except InvalidProgram as error:
            raise InvalidProgram(f"after `{transform.__name__}`: {error}") from error
    return program
