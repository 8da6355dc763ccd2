"""The programs of a run, compiled for devices that are not there, and what that tells of them.

It is the step of training and the decoder themselves that are compiled, for shapes in place of
arrays: nothing is computed, and no data are read. What a run would learn from its data, tokens and
relations, has stand-ins of the same number.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import jax
import ml_collections
import numpy as np

from grel import parallel
from grel.data.pipeline import Batch
from grel.decoding import batching
from grel.devices import hlo
from grel.devices.kinds import GIB
from grel.devices.topologies import Target
from grel.errors import ConfigError, UserError, expand_home
from grel.families import bert as bert_family
from grel.models import bert, flops
from grel.text.known import Memory
from grel.text.wordpiece import SPECIAL, Wordpiece, read_vocabulary
from grel.training import optimizer, steps


class AheadError(UserError):
    """A program that cannot be compiled for its target, or is not as it must be."""


@dataclasses.dataclass(frozen=True)
class Program:
    """What a compiled program takes.

    Attributes:
        name: what it does, with its shape.
        arguments, outputs, temporaries, code: bytes of a device; `aliased` of the outputs take the
            place of arguments.
        flops: operations that the result needs, over all devices; see `models.flops`.
        collectives: what it exchanges between devices.
        seconds: that compiling took.
    """

    name: str
    arguments: int
    outputs: int
    aliased: int
    temporaries: int
    code: int
    flops: float
    collectives: tuple[hlo.Collective, ...]
    seconds: float

    @property
    def memory(self) -> int:
        """Bytes of a device while it runs."""
        return self.arguments + self.outputs - self.aliased + self.temporaries + self.code


def stand_in(config: ml_collections.ConfigDict, num_relations: int) -> bert_family.System:
    """The system of a checked configuration, as if its data had so many relations.

    The vocabulary is that of `config.tokenizer.vocab` where the file is there, and otherwise has
    `config.tokenizer.vocab_size` made-up tokens.

    Raises ConfigError for other families than "bert".
    """
    if config.model.family != "bert":
        raise ConfigError(
            f"config.model.family is {config.model.family!r}; only 'bert' is compiled ahead"
        )
    t = config.tokenizer
    names = [f"r{number}" for number in range(num_relations)]
    path = expand_home(t.vocab)
    if t.vocab and path.is_file():
        vocabulary = read_vocabulary(path)
    else:
        vocabulary = [*SPECIAL, *(f"[unused{n}]" for n in range(num_relations + 16)), *names]
        if len(vocabulary) > t.vocab_size:
            raise ConfigError(
                f"config.tokenizer.vocab_size is {t.vocab_size}; it must be {len(vocabulary)} or "
                "more"
            )
        vocabulary += [f"t{number}" for number in range(t.vocab_size - len(vocabulary))]
    wordpiece = Wordpiece(
        vocabulary,
        names,
        lowercase=t.lowercase,
        relation_as=t.relation_as,
        triple_form=config.data.triple_form,
    )
    memory = Memory({}, wordpiece.relations) if config.model.memory else None
    return bert_family.System.build(config, wordpiece, memory)


def train_step(system: bert_family.System, target: Target, length: int) -> Program:
    """The step of training over a batch of rows of `length` tokens.

    Raises AheadError where it does not fit, or where gradients are not summed over the devices once
    a step.
    """
    c = system.config
    num_rows = c.train.batch_size
    num_targets = min(length // 2, c.decoding.max_target)
    batch = batch_like(num_rows, length, num_targets, system.memory)
    tx = optimizer.configured(c.train, num_steps=2)
    state = jax.eval_shape(
        lambda: steps.init_state(system.init, tx, c.seed, averages=c.train.ema_decay > 0)
    )
    step_fn = steps.train_step(system.loss, tx, c.train.accumulation, c.train.ema_decay)
    name = f"train step, {num_rows} rows of {length} tokens"
    needed = step_flops(system.model, batch)
    program = _compiled(
        name,
        needed,
        target,
        lambda: parallel.compiled_for(step_fn, target.devices, state, batch, donate=True),
    )
    gradients = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state.params))
    if len(target.devices) > 1:
        _check_step(program, gradients)
    return program


def decoder(system: bert_family.System, target: Target, length: int) -> Program:
    """The search over a batch of sources of `length` tokens.

    Raises AheadError where it does not fit, or where devices wait for each other.
    """
    c = system.config.decoding
    # No source is longer than leaves room for what is written.
    width = min(length, system.model.max_positions - c.max_target - 2)
    num_devices = len(target.devices)
    num_rows = num_devices * batching.rows_per_device(c.batch_size, num_devices)
    program = _compiled(
        f"decoder, {num_rows} sources of {width} tokens",
        flops.decode(system.model, num_rows, width, c.max_target),
        target,
        lambda: system.decoder().compiled_for(
            target.devices,
            system.params_like(),
            num_rows,
            width,
            system.memory.width if system.memory else 0,
        ),
    )
    if program.collectives:
        raise AheadError(f"{program.name}: its devices exchange {_told(program.collectives)}")
    return program


def batch_like(num_rows: int, length: int, num_targets: int, memory: Memory | None = None) -> Batch:
    """Shapes of a batch."""

    def zeros() -> Batch:
        of_rows = np.zeros(num_rows, np.int32)
        tokens = np.zeros((num_rows, length), np.int32)
        marks = np.zeros((num_rows, length, memory.width), np.uint8) if memory else None
        return Batch(tokens, tokens, of_rows, of_rows, of_rows, num_targets, marks)

    return jax.eval_shape(zeros)


def step_flops(model: bert.Config, batch: Batch) -> float:
    """Operations of a step over a batch whose rows have no padding."""
    _, num_predicted = jax.eval_shape(
        lambda batch: bert.supervised(model, batch, jax.random.PRNGKey(0))[1].position_BP, batch
    ).shape
    num_rows, length = batch.tokens_BL.shape
    num_twins = batch.num_targets if model.objective == "pseudo" else 0
    return flops.train_step(model, num_rows, length, num_predicted, num_twins)


def _compiled(
    name: str, needed: float, target: Target, make: Callable[[], jax.stages.Compiled]
) -> Program:
    advice = (
        "set config.model.remat=True, raise config.train.accumulation, or lower "
        "config.train.batch_size"
        if name.startswith("train")
        else "lower config.decoding.batch_size"
    )
    start = time.perf_counter()
    try:
        compiled = make()
    except jax.errors.JaxRuntimeError as error:
        reason = str(error).splitlines()[0]
        if "RESOURCE_EXHAUSTED" not in reason:
            raise
        reason = reason.rpartition("CompileTimeHbmOom: ")[2].removeprefix("RESOURCE_EXHAUSTED: ")
        reason = reason.partition(". HLO module:")[0]
        raise AheadError(f"{name}: does not fit {target.name}: {reason}; {advice}") from None
    seconds = time.perf_counter() - start
    memory, text = compiled.memory_analysis(), compiled.as_text()
    if memory is None or text is None:
        raise AheadError(f"{name}: the compiler of {target.name} does not tell what it takes")
    program = Program(
        name=name,
        arguments=memory.argument_size_in_bytes,
        outputs=memory.output_size_in_bytes,
        aliased=memory.alias_size_in_bytes,
        temporaries=memory.temp_size_in_bytes,
        code=memory.generated_code_size_in_bytes,
        flops=needed,
        collectives=tuple(hlo.collectives(text)),
        seconds=seconds,
    )
    if target.memory is not None and program.memory > target.memory:
        raise AheadError(
            f"{name}: does not fit {target.name}: it takes {program.memory / GIB:.2f} GiB of "
            f"{target.memory / GIB:.0f} GiB; {advice}"
        )
    return program


def _check_step(program: Program, gradients: int) -> None:
    """One group of sums, outside of every loop, of the gradients and a few numbers beside."""
    others = [c for c in program.collectives if c.name != "all-reduce" or c.in_loop]
    summed = sum(c.num_bytes for c in program.collectives)
    if others or not gradients <= summed <= gradients + 4096:
        raise AheadError(
            f"{program.name}: {gradients} bytes of gradients must be summed once a step, and its "
            f"devices exchange {_told(program.collectives)}"
        )


def _told(collectives: tuple[hlo.Collective, ...]) -> str:
    return (
        ", ".join(
            f"{c.name} of {c.num_bytes} bytes{' in a loop' if c.in_loop else ''}"
            for c in collectives
        )
        or "nothing"
    )
