"""One damaged output, and whether what was made of it is allowed."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

from recorded_outputs import BY_BYTES, BY_LINES, Recorded, batch_of, damaged, sent

from fdi_keras.devices.benchmark_model import BatchReader, Statistics, ToolOutput, parse_output
from fdi_keras.devices.benchmark_model.statistics import parse_statistics
from fdi_keras.errors import MeasurementError


@dataclass
class Tally:
    """What became of damaged outputs.

    Attributes:
        outcomes: by level and outcome: the name of an error; ``"right"``; ``"the other run,
            whole"`` where two runs of one model with the same flags were spliced before the
            first number; or ``"undetectable"`` for a changed digit that no rule can find in
            the text alone.
        violations: descriptions of what must never be.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)


def try_text(runs: dict[str, Recorded], rng: random.Random, tally: Tally) -> None:
    """Damage one output as a text and parse it, without the frame that would show any damage."""
    run, other = rng.choice(list(runs.values())), rng.choice(list(runs.values()))
    ways = [
        rng.choice(BY_LINES if rng.random() < 0.7 else BY_BYTES) for _ in range(rng.choice((1, 1, 1, 2, 3)))
    ]
    stdout, stderr, code = run.output.stdout, run.output.stderr, run.output.exit_code
    for way in ways:
        if rng.random() < 0.85:
            stdout = damaged(stdout, way, rng, other.output.stdout)
        else:
            stderr = damaged(stderr, way, rng, other.output.stderr)
    if rng.random() < 0.05:
        code = rng.choice((0, 1, 137, 139))
    try:
        report = parse_output(ToolOutput(stdout, stderr, code), run.flags)
        timing = report.timing
    except MeasurementError as error:
        tally.outcomes[f"text: {type(error).__name__}"] += 1
        return
    what = f"{run.name}, {'+'.join(ways)}, of {other.name}: {stdout!r}"
    # The driver never asks for verbose output: dozens of lines whose order says nothing.
    same = stdout == run.output.stdout or run.name == "verbose"
    if not same and set(ways) <= {"cut", "swap", "move", "reverse"}:
        tally.violations.append(f"a latency from a cut or reordered text: {what}")
    elif run.flags.get("use_gpu") == "true":
        tally.violations.append(f"the CPU passed for the GPU: {what}")
    elif report.regular.median == run.printed_median_us and _fits(timing, run):
        tally.outcomes["text: right"] += 1
    elif report.regular == _printed(other):
        # All of another run of the same model with the same flags: every number is the tool's own.
        tally.outcomes["text: the other run, whole"] += 1
    elif set(ways) & set(BY_BYTES):
        tally.outcomes["text: undetectable"] += 1
    else:
        tally.violations.append(f"a wrong number: {what}")


def try_batch(runs: dict[str, Recorded], rng: random.Random, tally: Tally) -> None:
    """Damage what a batch sends, feed it in pieces; every result must be the original one."""
    chosen = [rng.choice(list(runs.values())) for _ in range(rng.randint(1, 4))]
    batch = batch_of(chosen, f"{rng.getrandbits(96):024x}")
    stream = sent(batch, [run.output for run in chosen])
    foreign = sent(batch_of(chosen, f"{rng.getrandbits(96):024x}"), [run.output for run in chosen[::-1]])
    other = rng.choice((stream, foreign))
    broken = stream
    for _ in range(rng.choice((1, 1, 2, 3))):
        broken = damaged(broken, rng.choice(BY_LINES + BY_BYTES), rng, other)
    reader, results, at = BatchReader(batch), [], 0
    while at < len(broken):
        piece = rng.choice((1, 7, 64, 1000, 100_000))
        results += reader.feed(broken[at : at + piece])
        at += piece
    for number, result in enumerate(results):
        expected = chosen[number].output
        if result.index != number or result.output != expected:
            tally.violations.append(
                f"job {number} of {[r.name for r in chosen]} has another's result: {broken!r}"
            )
            return
    if reader.finished and broken != stream and not reader.broken:
        tally.violations.append(f"a damaged batch passed for whole: {broken!r}")
    tally.outcomes["batch: whole" if reader.finished else "batch: incomplete"] += 1
    tally.outcomes["batch: results"] += len(results)


def _printed(run: Recorded) -> Statistics | None:
    """The second line of numbers of an output."""
    lines = [line for line in run.output.stdout.decode().splitlines() if line.startswith("INFO: count=")]
    return parse_statistics(lines[1].removeprefix("INFO: ")) if len(lines) == 2 else None


def _fits(timing, run: Recorded) -> bool:
    """Whether all numbers are those of the undamaged output, where that gives any."""
    try:
        original = parse_output(run.output, run.flags)
    except MeasurementError:
        return True  # its error stood in a line that the damage removed: the numbers are the tool's own
    return timing == original.timing
