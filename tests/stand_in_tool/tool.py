"""One run of the stand-in: reads the tool's flags, times the model with LiteRT, prints as the tool does.

What it prints is measured here and now, with the kernels and threads that were asked
for. What it cannot do it says: a table of operators exists only for models of a single
operator, whose time is the model's.

A control file, JSON, asks for faults and for another speed::

    {"fault": "crash" | "hang" | "garbage" | "out_of_memory" | "refuse", "words": "of an error",
     "graph": "only/for/this", "times": 1,
     "sleep_ms": [2.0, 6.0], "slow_down": 1.3, "slow_down_in": {"/part/of/the/phone's/folder/": 1.3},
     "accelerators": {"gpu": "completely" | "partially" | "refused"}, "record": "file", "noise": "on stderr"}

``times`` limits a fault to so many runs. ``sleep_ms`` sleeps instead of computing, each
model its own time between the two, always the same. ``accelerators`` makes the tool
understand ``--use_gpu`` and ``--use_nnapi`` and say what the real one says; the model
still runs on this computer's processor. ``record`` names a file to which every run that comes
to numbers adds a line of JSON: the model's checksum, the numbers, its begin and end.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import zlib
from pathlib import Path

VERSION_FLAGS = {
    "num_runs": ("Min num runs", int, 50),
    "min_secs": ("Min runs duration (seconds)", float, 1.0),
    "max_secs": ("Max runs duration (seconds)", float, 150.0),
    "num_threads": ("Num threads", int, -1),
    "warmup_runs": ("Min warmup runs", int, 1),
    "warmup_min_secs": ("Min warmup runs duration (seconds)", float, 0.5),
    "dry_run": ("Run w/o invoking kernels", bool, False),
    "graph": ("Graph", str, ""),
    "require_full_delegation": ("Require full delegation", bool, False),
    "enable_op_profiling": ("Enable op profiling", bool, False),
    "op_profiling_output_mode": ("Op profiling output mode.", str, "stdout"),
    "op_profiling_output_file": ("Op profiling output file.", str, ""),
    "use_xnnpack": ("Use xnnpack", bool, False),
}
ACCELERATOR_FLAGS = {
    "gpu": {"use_gpu": ("Use gpu", bool, False),
            "gpu_precision_loss_allowed": ("Allow lower precision in gpu", bool, True)},
    "nnapi": {"use_nnapi": ("Use NNAPI", bool, False), "disable_nnapi_cpu": ("Disable NNAPI cpu", bool, True),
              "nnapi_allow_fp16": ("Allow fp16 in NNAPI", bool, False)},
}  # fmt: skip


class FailedError(Exception):
    """The lines that the tool prints before ``Benchmarking failed.``"""


def main(words: list[str], control: dict) -> int:
    """One run; returns the exit code."""
    say("STARTING!")
    os.write(2, control.get("noise", "").encode(errors="surrogateescape"))
    known = dict(VERSION_FLAGS)
    for name in control.get("accelerators", {}):
        known |= ACCELERATOR_FLAGS[name]
    try:
        told, left = read_flags(words, known)
        if left:
            print(f"WARN: Unconsumed cmdline flags: {' '.join(left)}")
        value = {name: told.get(name, default) for name, (_, _, default) in known.items()}
        if not value["graph"]:
            raise FailedError("Please specify the name of your TF Lite input file with --graph")
        log_parameters(told, known, value)
        strike(control, value["graph"])
        run(told, value, control)
    except FailedError as failure:
        sys.stdout.flush()
        for line in [*failure.args, "Benchmarking failed."]:
            print(f"ERROR: {line}", file=sys.stderr)
        return 1
    return 0


def say(text: str) -> None:
    print(f"INFO: {text}")


def read_flags(words: list[str], known: dict) -> tuple[dict, list[str]]:
    told, left = {}, []
    for word in words:
        name, equals, text = word.removeprefix("--").partition("=")
        if not word.startswith("--") or not equals or name not in known:
            left.append(word)
            continue
        kind = known[name][1]
        try:
            told[name] = (
                {"true": True, "false": False, "1": True, "0": False}[text] if kind is bool else kind(text)
            )
        except (ValueError, KeyError):
            raise FailedError(
                f"Failed to parse flag '{name}' against argv '{word}'", "usage: benchmark_model <flags>"
            ) from None
    return told, left


def log_parameters(told: dict, known: dict, value: dict) -> None:
    say("Log parameter values verbosely: [0]")
    delegates = ("use_gpu", "gpu_precision", "use_nnapi", "disable_nnapi", "nnapi", "use_xnnpack")
    shown = [name for name in known if name in told]
    for name in [name for name in shown if not name.startswith(delegates)]:
        echo(known[name][0], told[name])
        if name == "graph":
            say("Signature to run: []")
    if "num_threads" in told:
        say(f"#threads used for CPU inference: [{value['num_threads']}]")
    for name in [name for name in shown if name.startswith(delegates)]:
        echo(known[name][0], told[name])


def echo(label: str, value: object) -> None:
    text = (
        str(int(value)) if isinstance(value, bool) else f"{value:.6g}" if isinstance(value, float) else value
    )
    say(f"{label}: [{text}]")


def strike(control: dict, graph: str) -> None:
    """The fault that was asked for."""
    if not strikes(control, graph):
        return
    fault = control["fault"]
    if fault == "refuse":
        raise FailedError(control["words"])
    if fault == "hang":
        sys.stdout.flush()
        time.sleep(3600)
    if fault == "garbage":
        sys.stdout.flush()
        os.write(
            1, zlib.compress(graph.encode() * 50) * 40 + b"\nINFO: count=7\n\x1b[31m[bold]$(reboot)\xff\xfe"
        )
        os._exit(0)
    sys.stdout.flush()
    os.kill(os.getpid(), {"crash": signal.SIGSEGV, "out_of_memory": signal.SIGKILL}[fault])


def run(told: dict, value: dict, control: dict) -> None:
    begin = time.perf_counter()
    model = Path(value["graph"])
    try:
        content = model.read_bytes()
    except OSError:
        raise FailedError(f"Could not open '{model}'.", "The model allocation is null/empty",
                     f"Failed to load model {model}") from None  # fmt: skip
    if not content:
        raise FailedError(
            "mmap of size 0 requested.", "The model allocation is null/empty", f"Failed to load model {model}"
        )
    if content[4:8] != b"TFL3":
        raise FailedError("The model is not a valid Flatbuffer buffer", f"Failed to load model {model}")
    say(f"Loaded model {model}")
    xnnpack = told.get("use_xnnpack") is not False
    if control.get("sleep_ms"):
        invoke, operators = sleeper(content, *control["sleep_ms"]), []
        if xnnpack:
            sys.stdout.flush()
            print("INFO: Created TensorFlow Lite XNNPACK delegate for CPU.", file=sys.stderr, flush=True)
    else:
        invoke, operators = interpreter(content, value["num_threads"], xnnpack)
    apply_accelerators(value, control)
    init_us = int(1e6 * (time.perf_counter() - begin))
    say(f"The input model file size (MB): {len(content) / 1e6:.6g}")
    say(f"Initialized session in {init_us / 1e3:.6g}ms.")
    slower = control.get("slow_down_in", {})
    factor = next((by for place, by in slower.items() if place in os.getcwd()), control.get("slow_down", 1.0))
    dry = value["dry_run"]
    warmup = series(invoke, *((0, -1.0) if dry else (value["warmup_runs"], value["warmup_min_secs"])),
                    value["max_secs"], factor)  # fmt: skip
    regular = series(invoke, *((0, -1.0) if dry else (value["num_runs"], value["min_secs"])),
                     value["max_secs"], factor)  # fmt: skip
    say(f"Inference timings in us: Init: {init_us}, First inference: {warmup[0] if warmup else 0}, "
        f"Warmup (avg): {average(warmup):.6g}, Inference (avg): {average(regular):.6g}")  # fmt: skip
    say("Note: as the benchmark tool itself affects memory footprint, the following is only APPROXIMATE to the "
        "actual memory footprint of the model at runtime. Take the information at your discretion.")  # fmt: skip
    say("Memory footprint delta from the start of the tool (MB): init=3.5 overall=4.25")
    if value["enable_op_profiling"]:
        write_profile(value["op_profiling_output_file"], operators, regular)
    if "record" in control:
        add_record(control, content, regular)


def sleeper(content: bytes, low_ms: float, high_ms: float):
    seconds = (low_ms + (high_ms - low_ms) * zlib.crc32(content) / 2**32) / 1e3
    return lambda: time.sleep(seconds)


def interpreter(content: bytes, threads: int, xnnpack: bool):
    """What executes the model once, and the names of its operators."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    kernels = OpResolverType.AUTO if xnnpack else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    sys.stdout.flush()
    try:
        made = Interpreter(
            model_content=content, num_threads=max(1, threads), experimental_op_resolver_type=kernels
        )
        operators = [each["op_name"] for each in made._get_ops_details()]
        made.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise FailedError(*lines, "Failed to allocate tensors!") from None
    rng = np.random.default_rng(0)
    for detail in made.get_input_details():
        floating = np.issubdtype(detail["dtype"], np.floating)
        random = rng.random(detail["shape"]) if floating else rng.integers(0, 2, detail["shape"])
        made.set_tensor(detail["index"], random.astype(detail["dtype"]))
    return made.invoke, [name for name in operators if name != "DELEGATE"]


def apply_accelerators(value: dict, control: dict) -> None:
    for name, extent in control.get("accelerators", {}).items():
        if not value[f"use_{name}"]:
            continue
        title = name.upper()
        if extent == "refused":
            say(
                f"Though {title} delegate is explicitly applied, the model graph will not be executed by the delegate."
            )
        elif extent == "partially":
            say(f"Explicitly applied {title} delegate, and the model graph will be partially executed by the delegate"
                " w/ 2 delegate kernels.")  # fmt: skip
        else:
            say(
                f"Explicitly applied {title} delegate, and the model graph will be completely executed by the delegate."
            )
        if extent != "completely" and value["require_full_delegation"]:
            raise FailedError("Disallowed CPU fallback detected.")


def series(invoke, runs: int, min_s: float, max_s: float, factor: float) -> list[int]:
    """Microseconds of each execution, until both the number and the time are met."""
    say(f"Running benchmark for at least {runs} iterations and at least {min_s:.6g} seconds but terminate if "
        f"exceeding {max_s:.6g} seconds.")  # fmt: skip
    sys.stdout.flush()
    clock = time.perf_counter_ns
    taken: list[int] = []
    now = clock()
    least, most = now + int(min_s * 1e9), now + int(max_s * 1e9)
    while (len(taken) < runs or now < least) and now <= most:
        begin = clock()
        invoke()
        end = clock()
        if factor != 1.0:
            until = begin + int(factor * (end - begin))
            while end < until:
                end = clock()
        taken.append(end // 1000 - begin // 1000)
        now = clock()
    say(f"{statistics(taken)}\n")
    return taken


def average(taken: list[int]) -> float:
    return sum(taken) / len(taken) if taken else 0


def statistics(taken: list[int]) -> str:
    if not taken:
        return "count=0 p5=0 median=0 p95=0"
    count, low, high, mean = len(taken), min(taken), max(taken), average(taken)
    ranked = sorted(taken)
    p5, median, p95 = (ranked[count * percent // 100] for percent in (5, 50, 95))
    text = f"count={count} "
    if low == high:
        text += f"curr={low}" + ("(all same)" if count > 1 else "")
    else:
        variance = max(0.0, sum(value * value for value in taken) / count - mean * mean)
        text += (
            f"first={taken[0]} curr={taken[-1]} min={low} max={high} avg={mean:.6g} std={int(variance**0.5)}"
        )
    return f"{text} p5={p5} median={median} p95={p95}"


def write_profile(path: str, operators: list[str], regular: list[int]) -> None:
    """The table of a model with a single operator: its time is the model's."""
    if len(operators) != 1:
        print(f"WARNING: the stand-in has no profiler for {len(operators)} operators", file=sys.stderr)
        return
    ms = f"{average(regular) / 1e3:.6g}"
    head = "node type, first, avg_ms, %, cdf%, mem KB, times called, name"
    row = f"{operators[0]}, {regular[0] / 1e3:.6g}, {ms}, 100%, 100%, 0, 1, [stand-in]:0"
    stars = "=" * 30
    Path(path).write_text(
        "Operator-wise Profiling Info for Regular Benchmark Runs:\n"
        f"{stars} Run Order {stars}\n{head}\n{row}\n\n{stars} Top by Computation Time {stars}\n{head}\n{row}\n\n"
        f"Number of nodes executed: 1\n{stars} Summary by node type {stars}\n"
        "node type, count, avg_ms, avg %, cdf %, mem KB, times called\n"
        f"{operators[0]}, 1, {ms}, 100%, 100%, 0, 1\n\n"
        f"Timings (microseconds): count={len(regular)} curr={regular[-1]}\n"
        "Memory (bytes): count=0\n1 nodes observed\n\n\n"
    )


def add_record(control: dict, content: bytes, regular: list[int]) -> None:
    ranked = sorted(regular)
    line = {"model": zlib.crc32(content), "count": len(regular), "min_us": ranked[0],
            "median_us": ranked[len(ranked) // 2], "sum_us": sum(regular),
            "began": control["started"], "ended": time.time()}  # fmt: skip
    out = os.open(control["record"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(out, json.dumps(line).encode() + b"\n")
    os.close(out)


def read_control(path: str) -> dict:
    """The control file, and where it lies."""
    try:
        return {**json.loads(Path(path).read_text()), "path": path}
    except (OSError, ValueError):
        return {}


def strikes(control: dict, graph: str) -> bool:
    """Whether a fault is due; one that was limited to some runs is counted down in the control file."""
    if "fault" not in control or control.get("graph", "") not in graph or control.get("times", 1) <= 0:
        return False
    if "times" in control:
        file = Path(control["path"])
        new = file.with_suffix(f".{os.getpid()}")
        new.write_text(json.dumps({**control, "times": control["times"] - 1}))
        new.replace(file)
    return True
