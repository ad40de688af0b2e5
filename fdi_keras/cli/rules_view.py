"""What ``fdi rules`` shows: the kinds of a profile, and the leaf rules of one kind."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fdi_keras.cli.console import plain
from fdi_keras.cli.tables import new_table
from fdi_keras.cli.words import borrowed_text, count, error_style, percent, time_text
from fdi_keras.execution_time import RuleText, TimeModel, accounts, describe_rules
from fdi_keras.profile import DeviceProfile

#: From this width on a rule's conditions and terms stand side by side.
WIDE = 120

UNITS = (
    "MFLOP: a million FLOPs, 2 FLOPs a multiply-accumulate. KB: 1000 bytes of float32, read (inputs), "
    "written (outputs) or internal (the input patches under a sliding window). us: 0.001 ms. The time "
    "holds for one execution with batch size 1."
)
LEAF_ERROR = (
    "measured: measurements that the rule was fitted on; error: its mean absolute percentage error on them. "
    "The held-out error above counts only configurations that the model had not seen."
)
HELD_OUT = (
    "held-out error: mean absolute percentage error of predictions for configurations that the model "
    "had not seen. within 10 %: share of them that was off by at most 10 %."
)


def profile_head(profile: DeviceProfile) -> Text:
    """Where a profile comes from."""
    runtime = profile.runtime
    made_with = (
        f"{runtime.name} {runtime.version} ({runtime.delegate}), {count(runtime.threads, 'thread')}, "
        f"{runtime.precision}, learned {profile.created[:10]}"
    )
    head = Text.assemble(
        plain(profile.name, "bold"),
        "  ",
        plain(profile.device.name),
        "\n",
        plain(f"made {profile.created[:10]}" if profile.caution else made_with, "dim"),
    )
    if profile.caution:
        head.append("\n").append_text(plain(profile.caution, "yellow"))
    return head


def kinds_table(profile: DeviceProfile) -> Table:
    """A row a kind: how much it was learned from and how well it predicts."""
    table = new_table()
    table.add_column("kind", no_wrap=True)
    for name in ("rules", "measured", "held-out error", "within 10 %"):
        table.add_column(name, justify="right", no_wrap=True)
    for kind, model in profile.models.items():
        error = model.error
        table.add_row(
            plain(kind),
            str(len(model.tree.leaves)),
            str(error.measurements),
            *_errors(profile, model),
        )
    return table


def _errors(profile: DeviceProfile, model: TimeModel) -> list[Text]:
    """Held-out error, and the share within 10 %; none where nothing was measured."""
    if profile.caution:
        return [Text("none", "dim")] * 2
    error = model.error
    return [Text(percent(error.mape), error_style(error.mape)), Text(percent(error.within_10))]


def print_overview(out: Console, profile: DeviceProfile, asked: str) -> None:
    """All kinds of a profile; ``asked`` is how the user named it."""
    out.print(profile_head(profile))
    out.print(kinds_table(profile))
    out.print(Text(HELD_OUT, "dim"))
    out.print(Text(f"Besides its operators one inference costs {time_text(profile.overhead_ms)}.", "dim"))
    if profile.weight_fetch is not None:
        out.print(Text(profile.weight_fetch.text, "dim"))
    example = "conv2d" if "conv2d" in profile.models else next(iter(profile.models))
    out.print(Text.assemble("\nThe rules of a kind: ", plain(f"fdi rules {asked} --kind {example}", "bold")))


def print_rules(out: Console, profile: DeviceProfile, model: TimeModel) -> None:
    """Every leaf rule of one kind."""
    rules = describe_rules(model)
    error = model.error
    head = Text.assemble(
        (model.kind, "bold"),
        f": {count(len(rules), 'rule')} from {count(error.measurements, 'measurement')}",
    )
    if not profile.caution:
        head.append("\nheld-out error ").append(percent(error.mape), error_style(error.mape))
        head.append(f", {percent(error.within_10)} of predictions within 10 %")
    if error.tested is not None:
        head.append(
            f"\n(of {count(error.tested, 'measurement')} that were set aside before the others were chosen)"
        )
    if model.borrowed:
        head.append(f"\nalso learned from {borrowed_text(model.borrowed)}")
    table = profile.measurements.get(model.kind)
    if table is not None:
        shares = accounts(model, table.dims)
        listed = ", ".join(f"{part} {percent(share)}" for part, share in shares.items())
        head.append(f"\nof the predicted time: {listed}")
    out.print(profile_head(profile))
    out.print()
    out.print(head)
    out.print(rules_table(rules, out.width >= WIDE))
    out.print(Text(UNITS, "dim"))
    out.print(Text(LEAF_ERROR, "dim"))


def rules_table(rules: list[RuleText], wide: bool) -> Table:
    """A row a leaf; on narrow terminals one condition and one term of the time a line."""
    table = new_table(leading=0 if wide else 1)
    table.add_column("#", justify="right", style="dim", no_wrap=True)
    table.add_column("when", ratio=3 if wide else None)
    table.add_column("time", ratio=4 if wide else None)
    table.add_column("measured", justify="right", no_wrap=True)
    table.add_column("error", justify="right", no_wrap=True)
    for number, rule in enumerate(rules, 1):
        table.add_row(
            str(number),
            _conditions(rule, " and " if wide else "\nand "),
            _formula(rule, " + " if wide else "\n+ "),
            str(rule.samples),
            Text(percent(rule.mape), error_style(rule.mape)) if rule.samples else Text("none", "dim"),
        )
    return table


def _conditions(rule: RuleText, between: str) -> Text:
    text = plain("")
    for number, condition in enumerate(rule.conditions or ["always"]):
        text.append(between if number else "", "dim").append(condition)
    text.highlight_regex(r"(not a )?multiple of [\d.]+", "magenta")
    return text


def _formula(rule: RuleText, between: str) -> Text:
    text = plain("")
    for number, term in enumerate(rule.formula.split(" + ")):
        text.append(between if number else "", "dim").append(term)
    text.highlight_regex(r"[\d.]+ (ns|us|ms)\b", "cyan")
    return text
