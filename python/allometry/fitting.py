"""Fits by the program `allo`, whose numbers these are."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
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

    def __init__(self, report: Union[str, Dict[str, Any]], text: str = "", svg: str = "") -> None:
        self.json: Dict[str, Any] = json.loads(report) if isinstance(report, str) else report
        self.text = text
        self.svg = svg

    def __getitem__(self, name: str) -> Any:
        return self.json[name]

    def __repr__(self) -> str:
        return self.text or json.dumps(self.json, indent=1)

    def _repr_svg_(self) -> Optional[str]:
        return self.svg or None


def _flags(budget: Union[float, Sequence[float], None], options: Dict[str, Any]) -> List[str]:
    budgets = [] if budget is None else [budget] if isinstance(budget, (int, float)) else budget
    flags = [word for value in budgets for word in ("--budget", repr(float(value)))]
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            flags.append(flag)
        elif value is not False and value is not None:
            flags += [flag, str(value)]
    return flags


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
        return Fit(report, svg=open(svg).read() if os.path.exists(svg) else "")
