"""The scalars of TensorBoard event files as CSV, for `allo import tensorboard`.

    python3 -m allometry.tensorboard LOGDIR       prints run,series,step,value

The files are read by tensorboard's own reader (pip install tensorboard). A run is a folder with
event files; its name is the folder's path below LOGDIR.
"""

from __future__ import annotations

import csv
import math
import os
import sys
from typing import Iterator, List, Tuple

Row = Tuple[str, str, int, float]


def _number(value: object) -> "float | None":
    """The scalar of a tensor, as TensorFlow 2 logs them; None for anything else."""
    try:
        from tensorboard.util import tensor_util

        array = tensor_util.make_ndarray(value)
        return float(array) if array.size == 1 and array.dtype.kind in "fiu" else None
    except Exception:
        return None


def scalars(logdir: "str | os.PathLike[str]") -> Iterator[Row]:
    """(run, series, step, value) of every scalar below `logdir`."""
    try:
        from tensorboard.backend.event_processing import event_accumulator
    except ImportError as error:
        raise ImportError("event files are read by the package tensorboard, which is not installed: "
                          "pip install tensorboard") from error
    root = os.fspath(logdir)
    if not os.path.isdir(root):
        raise NotADirectoryError(f"{root}: there is no such folder")
    found = False
    for folder, _, files in sorted(os.walk(root)):
        if not any("tfevents" in name for name in files):
            continue
        found = True
        name = os.path.relpath(folder, root)
        name = os.path.basename(os.path.abspath(root)) if name == "." else name
        events = event_accumulator.EventAccumulator(
            folder, size_guidance={event_accumulator.SCALARS: 0, event_accumulator.TENSORS: 0})
        events.Reload()
        tags = events.Tags()
        for series in tags.get("scalars", []):
            for event in events.Scalars(series):
                yield name, series, int(event.step), float(event.value)
        for series in tags.get("tensors", []):
            for event in events.Tensors(series):
                number = _number(event.tensor_proto)
                if number is not None:
                    yield name, series, int(event.step), number
    if not found:
        raise FileNotFoundError(f"{root}: there are no event files (*tfevents*) below it")


def main(arguments: List[str]) -> int:
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print("usage: python3 -m allometry.tensorboard LOGDIR", file=sys.stderr)
        return 2
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["run", "series", "step", "value"])
    try:
        for run, series, step, value in scalars(arguments[0]):
            writer.writerow([run, series, step,
                             repr(value) if math.isfinite(value) else str(value)])
    except (ImportError, OSError) as error:
        print(f"allometry.tensorboard: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
