"""Fits by the program `allo`, whose numbers these are."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import tempfile
import textwrap
from typing import Any, Dict, List, Optional, Sequence, Union


def program() -> str:
    """ALLO, or `allo` in PATH."""
    found = os.environ.get("ALLO") or shutil.which("allo")
    if not found:
        raise FileNotFoundError("the program `allo` is not in PATH: put build/bin there, or name it "
                                "with the variable ALLO")
    return found


def run_allo(arguments: Sequence[str]) -> str:
    done = subprocess.run([program(), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          universal_newlines=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip() or f"allo ended with code {done.returncode}")
    return done.stdout


class Fit:
    """A report of `allo fit`: `json` is its object (docs/fitting.md), `text` its table."""

    def __init__(self, report: Union[str, Dict[str, Any]], text: str = "", svg: str = "",
                 points: Sequence[Dict[str, Any]] = ()) -> None:
        self.json: Dict[str, Any] = json.loads(report) if isinstance(report, str) else report
        self.text = text
        self.svg = svg
        self.points = list(points)  # params, tokens, flops, loss: what was fitted, where it is known

    def __getitem__(self, name: str) -> Any:
        return self.json[name]

    def __repr__(self) -> str:
        return self.text or json.dumps(self.json, indent=1)

    def plot(self, ax: Any = None) -> Any:
        """Loss against training FLOPs: the points by size, and what is predicted at the budgets
        with its 95 % intervals. Hollow where the data contradict the method, whose reasons stand
        below. Needs matplotlib; returns the axes."""
        try:
            import matplotlib.pyplot as pyplot
            from matplotlib.colors import LogNorm
        except ImportError as error:
            raise ImportError("Fit.plot needs matplotlib: pip install 'allometry[frames]'; without "
                              "it, Fit.svg is the picture that allo draws") from error
        if ax is None:
            _, ax = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
        if self.points:
            sizes = [point["params"] for point in self.points]
            low, high = min(sizes), max(sizes)
            drawn = ax.scatter([point["flops"] for point in self.points],
                               [point["loss"] for point in self.points], c=sizes, s=12,
                               norm=LogNorm(low, high if high > low else 2 * low))
            ax.figure.colorbar(drawn, ax=ax, label="parameters N")
        for number, method in enumerate(dict.fromkeys(p["method"] for p in self.json["predictions"])):
            of_method = [p for p in self.json["predictions"]
                         if p["method"] == method and (p["loss"] or {}).get("estimate")]
            for usable in (True, False):
                shown = [p for p in of_method if (p["not_usable"] is None) == usable]
                loss = [p["loss"]["estimate"] for p in shown]
                bars = [[abs((p["loss"].get(end) or p["loss"]["estimate"]) - p["loss"]["estimate"])
                         for p in shown] for end in ("lower", "upper")]
                if shown:
                    ax.errorbar([p["flops"] for p in shown], loss, bars, fmt="sD^v"[number % 4],
                                color=f"C{number}", mfc=None if usable else "none", capsize=3,
                                label=method if usable else f"{method}: NOT USABLE")
        ax.set(xscale="log", yscale="log", xlabel="training compute C (FLOPs)",
               ylabel="loss (nats per token)")
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter("{x:g}")
        if ax.get_legend_handles_labels()[0]:
            ax.legend(title="predicted", frameon=False)
        found = self.json["conclusion"]["contradictions"]
        against = list(dict.fromkeys(c["text"] for c in found if c["rule"] != "methods-disagree"))
        differ = sum(c["rule"] == "methods-disagree" for c in found)
        if differ:
            against.append(f"methods differ beyond their joint intervals in {differ} estimates")
        if len(against) > 3:
            against[3:] = [f"and {len(against) - 3} findings more"]
        if against or not ax.get_legend():
            said = ["contradicted:", *against] if against else [str(self.json["conclusion"]["why"])]
            ax.set_title("\n".join(line for text in said for line in textwrap.wrap(text, 100)),
                         fontsize=8, loc="left")
        return ax

    def _repr_svg_(self) -> Optional[str]:
        return self.svg or None


def _flags(budget: Union[float, Sequence[float], None], options: Dict[str, Any]) -> List[str]:
    budgets = [] if budget is None else [budget] if isinstance(budget, (int, float)) else list(budget)
    flags = ["--budget", ",".join(repr(float(value)) for value in budgets)] if budgets else []
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            flags.append(flag)
        elif isinstance(value, (list, tuple)) and name in ("column", "unit"):
            flags += [word for one in value for word in (flag, str(one))]
        elif value is not False and value is not None:
            flags += [flag, str(value)]
    return flags


def _points(report: Dict[str, Any], path: str) -> List[Dict[str, Any]]:
    """The rows that can be drawn without knowing units; the fit itself has read them all."""
    named = {column["quantity"]: column for column in report["read"]["columns"] if not column["note"]
             or column["quantity"] == "loss"}
    if not {"N", "D", "loss"} <= set(named) or any(named[q]["unit"] for q in ("N", "D")) or (
            not (named["loss"]["unit"] or "nats").startswith("nats")):
        return []
    points = []
    with open(path, newline="", encoding="utf-8", errors="replace") as file:
        for row in csv.DictReader(file):
            try:
                params, tokens, loss = (float(row[named[q]["header"]]) for q in ("N", "D", "loss"))
            except (KeyError, TypeError, ValueError):
                continue
            if min(params, tokens, loss) > 0 and max(params, tokens, loss) < float("inf"):
                points.append({"params": params, "tokens": tokens, "loss": loss,
                               "flops": 6 * params * tokens})
    return points


def fit(table: Any, budget: Union[float, Sequence[float], None] = None, **options: Any) -> Fit:
    """The fit of runs in a CSV file (its path) or a DataFrame (pandas, polars, anything with to_csv
    or write_csv), without a coordinator. Options are those of `allo fit`: resamples=200,
    method="parametric"."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "runs.csv")
        if hasattr(table, "to_csv"):
            table.to_csv(path, index=False)
        elif hasattr(table, "write_csv"):
            table.write_csv(path)
        else:
            path = os.fspath(table)
        svg = os.path.join(folder, "fit.svg")
        flags = [*_flags(budget, options), "--svg", svg]
        report = run_allo(["--json", "fit", path, *flags])
        done = Fit(report, svg=open(svg).read() if os.path.exists(svg) else "")
        done.points = _points(done.json, path)
        return done
