"""``fdi demo``: the main job on this computer, from nothing to measured times."""

from __future__ import annotations

import functools
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from fdi_keras.cli.console import print_json, quiet_tensorflow, stderr, stdout
from fdi_keras.errors import StorageError
from fdi_keras.journal import journal_path

#: What the demo's network turns into; a short campaign knows a few kinds well rather than all badly.
KINDS = ("conv2d", "depthwise_conv2d", "dense", "mean", "add", "softmax")

#: Its journal lies with those of other sessions, where the dashboard follows it; at the end it is copied
#: to the rest.
SESSION = "demo"

TRAIN_EPOCHS, COMPRESS_EPOCHS = 6, 16


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("fdi-demo"), show_default=True,
              help="Folder for everything that the demo writes.")  # fmt: skip
@click.option("--minutes", type=click.FloatRange(0.1, 60), default=1.5, show_default=True,
              help="How long to profile this computer. Longer predicts better.")  # fmt: skip
@click.option("--target", type=click.FloatRange(0.05, 1.0, max_open=True), default=0.2, show_default=True,
              help="What the network shall take, as a share of the uncompressed one's latency.")  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="Of weights and the order of images.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of tables.")
def demo(out: Path, minutes: float, target: float, seed: int, as_json: bool) -> None:
    """Profile this computer, compress a network to a latency, and measure what came of it.

    Takes about four minutes on two cores and downloads nothing. A small residual network
    learns scikit-learn's digits and is compressed as by 'fdi compress': steered to a share of its
    latency, pruned, grown to time minima and fine-tuned. Every stage is exported to LiteRT and all are
    timed in one interleaved run, beside a uniformly thinned network of the same measured time.

    Example: fdi demo --out /tmp/fdi-demo --target 0.3
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make folder {out}: {error.strerror}. Name another with --out.") from error
    _Demo(out, minutes, target, seed, as_json).run()


class _Demo:
    def __init__(self, out: Path, minutes: float, target: float, seed: int, as_json: bool):
        self.out, self.minutes, self.target, self.seed, self.as_json = out, minutes, target, seed, as_json
        self.console = stderr() if as_json else stdout()
        self.began = time.time()
        self.rows: list[dict[str, Any]] = []

    def run(self) -> None:
        profile = self._profile()
        self._show_rules(profile)
        quiet_tensorflow()
        import keras

        self._say("a small residual network learns digits")
        keras.utils.set_random_seed(self.seed)
        self._compress(profile)

    # The steps

    def _profile(self) -> Any:
        from fdi_keras.cli.campaign_view import campaign_progress
        from fdi_keras.profile import profile_device

        self._say(f"profiling this computer for {self.minutes:g} minutes")
        path = self.out / "this-computer.json"
        if self.as_json:
            return profile_device(minutes=self.minutes, out=path, kinds=KINDS)
        name = "this computer"
        with campaign_progress(self.console, [name]) as progress:
            told = functools.partial(progress, name)
            return profile_device(minutes=self.minutes, out=path, kinds=KINDS, progress=told)

    def _show_rules(self, profile: Any) -> None:
        from fdi_keras.execution_time import describe_rules

        if self.as_json or "conv2d" not in profile.models:
            return
        model = profile.models["conv2d"]
        self._say(
            f"leaf rules of conv2d ({model.error.measurements} measurements, held-out error "
            f"{model.error.mape:.1%}); the five with most measurements:"
        )
        for rule in sorted(describe_rules(model), key=lambda r: -r.samples)[:5]:
            self.console.print(f"  {rule.text}", markup=False, highlight=False)

    def _compress(self, profile: Any) -> None:
        import keras

        import fdi_keras as fdi
        from fdi_keras.cli.demo_network import BATCH, digits, residual_network
        from fdi_keras.compression.thinning import thin_to_time
        from fdi_keras.networks import measure_interleaved

        data = digits(self.seed)
        network = residual_network((32, 32, 1), 10, name="digits")
        self._train(network, data, TRAIN_EPOCHS, "training")
        target_ms = self.target * measure_interleaved([network], seconds=2.0)[0].median_ms

        self._say(f"compressing it to {self.target:.0%} of its time, candidates timed on this computer")
        # A folder of its own: one of an earlier demo holds another run.
        folder = tempfile.mkdtemp(prefix="compression-", dir=self.out)
        result = fdi.compress(
            network, profile, target_ms, data[:2], COMPRESS_EPOCHS,
            batch_size=BATCH, folder=folder, session=SESSION, report=self._detail,
        )  # fmt: skip
        pruned, grown = (keras.models.load_model(f"{folder}/{name}.keras") for name in ("pruned", "grown"))

        self._say("a uniformly thinned network of the same measured time, from scratch")
        equal = measure_interleaved([result.model], seconds=0.5)[0].median_ms
        uniform = thin_to_time(network, equal, lambda m: measure_interleaved([m], seconds=0.3)[0].median_ms)
        self._train(uniform, data, TRAIN_EPOCHS + COMPRESS_EPOCHS, "uniform, training")

        self._say("measuring all stages in one interleaved run")
        stages = {
            "trained": network, "pruned": pruned, "grown": grown, "fine-tuned": result.model, "uniform": uniform,
        }  # fmt: skip
        self._measure(stages, profile, data)
        shutil.copy(journal_path("sessions", SESSION), self.out / "session.jsonl")
        self._finish()

    def _train(self, model: Any, data: Any, epochs: int, what: str) -> None:
        import keras

        from fdi_keras.cli.demo_network import BATCH

        model.compile(keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
        x, y = data[:2]
        with _EpochProgress.over(self.console, what, epochs, quiet=self.as_json) as shown:
            model.fit(x, y, BATCH, epochs=epochs, verbose=0, callbacks=[shown])

    def _measure(self, stages: dict[str, Any], profile: Any, data: Any) -> None:
        import fdi_keras as fdi
        from fdi_keras.networks import export_litert, measure_interleaved

        contents = []
        for name, model in stages.items():
            contents.append(export_litert(model, self.out / f"{name}.tflite"))
            model.save(self.out / f"{name}.keras")
        times = measure_interleaved(list(stages.values()), seconds=1.5, contents=contents)
        for (name, model), measured in zip(stages.items(), times, strict=True):
            report = fdi.predict_latency(model, profile)
            if not model.compiled:
                model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
            accuracy = float(model.evaluate(data[2], data[3], verbose=0, return_dict=True)["accuracy"])
            self.rows.append(
                {
                    "stage": name,
                    "parameters": int(model.count_params()),
                    "flops": report.flops,
                    "memory_bytes": report.memory_bytes,
                    "predicted_ms": report.total_ms,
                    "coverage": report.coverage,
                    "median_ms": measured.median_ms,
                    "iqr_ms": measured.iqr_ms,
                    "accuracy": accuracy,
                }
            )

    def _finish(self) -> None:
        result = {"seconds": round(time.time() - self.began, 1), "target": self.target, "stages": self.rows}
        (self.out / "results.json").write_text(json.dumps(result, indent=2))
        if self.as_json:
            print_json({"folder": str(self.out), **result})
            return
        self.console.print(stage_table(self.rows))
        self.console.print(f"{result['seconds']:.0f} s in all. Written to {self.out}:", highlight=False)
        for path in sorted(self.out.iterdir()):
            self.console.print(f"  {path}", markup=False, highlight=False)
        self.console.print("Look at them with:", highlight=False)
        folder = self.out
        for command in (
            f"fdi rules {folder}/this-computer.json --kind conv2d",
            f"fdi predict {folder}/fine-tuned.keras --profile {folder}/this-computer.json",
            f"fdi measure {folder}/fine-tuned.tflite",
            f"fdi minima {folder}/this-computer.json --kind conv2d "
            "--set in_channels=64,kernel=3,height=28,width=28 --vary out_channels=1:128",
        ):
            self.console.print(f"  {command}", markup=False, highlight=False, soft_wrap=True)

    def _say(self, text: str) -> None:
        if not self.as_json:
            self.console.print(f"[{time.time() - self.began:5.0f} s] {text}", markup=False, highlight=False)

    def _detail(self, text: str) -> None:
        if not self.as_json:
            self.console.print(f"          {text}", markup=False, highlight=False)


def stage_table(rows: list[dict[str, Any]]) -> Any:
    """The table of stages that the demo ends with."""
    from fdi_keras.cli.tables import new_table

    table = new_table(title="Stages, timed on this computer in one interleaved run", collapse_padding=True)
    table.add_column("stage")
    for heading in ("params", "MFLOP", "memory MB", "predicted ms", "measured ms", "+- ms", "accuracy"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            row["stage"],
            f"{row['parameters']:,}",
            f"{row['flops'] / 1e6:.1f}",
            f"{row['memory_bytes'] / 1e6:.2f}",
            f"{row['predicted_ms']:.3f}",
            f"{row['median_ms']:.3f}",
            f"{row['iqr_ms']:.3f}",
            f"{row['accuracy']:.1%}",
        )
    return table


class _EpochProgress:
    """A Keras callback that moves a progress bar; made late because keras loads late."""

    @staticmethod
    def over(console: Any, what: str, epochs: int, quiet: bool) -> Any:
        import contextlib

        import keras
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        @contextlib.contextmanager
        def shown() -> Any:
            columns = (
                TextColumn("          {task.description:<18}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[state]}"),
                TimeElapsedColumn(),
            )
            with Progress(*columns, console=console, disable=quiet) as progress:
                task = progress.add_task(what, total=epochs, state="")

                class Shown(keras.callbacks.Callback):
                    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
                        accuracy = (logs or {}).get("accuracy", 0)
                        progress.update(task, advance=1, state=f"accuracy {accuracy:.1%}")

                yield Shown()

        return shown()
