"""Write a study's summary, as `tune` returns it, as a Markdown page."""

from __future__ import annotations

from fmnist_edge.aliases import JsonObject
from fmnist_edge.console import table

__all__ = ["page"]

SHOWN = 10  # number of trials in the table of the best


def page(summary: JsonObject) -> str:
    """The page: protocol, gain over the recipe, spread, importances, best trials.

    Accuracies are fractions in `summary` and percentages on the page. The text ends with a line feed.
    """
    parts = [
        f"# {summary['model']}: how far hyper-parameters move it",
        protocol(summary),
        *gain(summary),
        *spread(summary),
        *importance(summary),
        *trials(summary),
    ]
    return "\n\n".join(parts) + "\n"


def protocol(summary: JsonObject) -> str:
    about, counts = summary["protocol"], summary["counts"]
    limited = " (cut short with --limit: a try-out, no result)" if about["limit"] else ""
    states = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    return (
        f"Each trial fits {about['fitted_images']:,} training images for {about['epochs']} epochs and is scored on "
        f"{about['validation_images']:,} validation images{limited}. The test images are not used.\n"
        f"Trials: {states}; {summary['trials_wall_time_s'] / 60:,.0f} minutes of training. "
        f"Sampler {summary['sampler']}, pruner {summary['pruner']}, Optuna {summary['optuna']}, "
        f"seed {summary['seed']}."
    )


def gain(summary: JsonObject) -> list[str]:
    best, baseline, about = summary["best"], summary["baseline"], summary["protocol"]
    if best is None:
        return ["No trial is complete yet."]
    rows = [["best trial", f"{best['number']}", percent(best["value"])]]
    sentence = "The recipe that it would replace has no complete trial to compare with."
    if baseline is not None:
        rows.insert(0, [f"recipe `{baseline['recipe']}`", f"{baseline['number']}", percent(baseline["value"])])
        points = 100 * (best["value"] - baseline["value"])
        sentence = f"The search gained {points:+.2f} percentage points over the recipe that it started from"
        sentence += f", at {about['epochs']} epochs and on images that it chose the best trial by."
    values = [[name, shown(value)] for name, value in best["params"].items()]
    return [
        "## What the search gained",
        table(["", "trial", "validation accuracy"], rows),
        sentence,
        table(["hyper-parameter", "best trial"], values),
    ]


def spread(summary: JsonObject) -> list[str]:
    figures = summary["validation_accuracy"]
    if not figures["trials"]:
        return []
    names = ("min", "q1", "median", "q3", "max", "mean", "stdev")
    return [
        f"## Spread of the complete trials ({figures['trials']})",
        "Pruned trials, the weaker ones, are not in it.",
        table(names, [[percent(figures[name]) for name in names]]),
    ]


def importance(summary: JsonObject) -> list[str]:
    shares, note = summary["importance"], summary["importance_note"]
    if shares is None:
        return ["## What mattered", f"Not known: {note}."]
    return [
        f"## What mattered ({note})",
        table(["hyper-parameter", "importance"], [[name, f"{share:.3f}"] for name, share in shares.items()]),
    ]


def trials(summary: JsonObject) -> list[str]:
    ranked = [trial for trial in summary["trials"] if trial["state"] == "complete"]
    ranked.sort(key=lambda trial: (-trial["value"], trial["number"]))
    if not ranked:
        return []
    names = list(ranked[0]["params"])
    rows = [
        [f"{trial['number']}", percent(trial["value"]), *(shown(trial["params"][name]) for name in names)]
        for trial in ranked[:SHOWN]
    ]
    return [f"## The best {len(rows)}", table(["trial", "accuracy", *names], rows)]


def percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.2%}"


def shown(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
