#!/usr/bin/env python3
"""curve.py RUN_DIR...: a hash of each run's curve, over all its attempts.

Of a point that several attempts wrote the youngest counts. Series of time and memory are left out.
"""

import hashlib
import json
import pathlib
import sys

TIMED = ("tokens_per_second", "memory_bytes")

for run_dir in sys.argv[1:]:
    points = {}
    attempts = sorted(pathlib.Path(run_dir).glob("attempt-*"), key=lambda p: int(p.name.split("-")[1]))
    for attempt in attempts:
        for line in (attempt / "spool").read_text().splitlines():
            record = json.loads(line[line.index("{"):])
            if record["kind"] == "point" and record["series"] not in TIMED:
                points[record["series"], record["step"]] = record["value"]
    text = repr(sorted(points.items()))
    print(hashlib.sha256(text.encode()).hexdigest()[:16], len(points))
