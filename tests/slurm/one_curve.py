#!/usr/bin/env python3
"""one_curve.py POINTS.csv EVERY: of each run in an export of points (`allo export --points --series
train`) every EVERYth step up to its last is there, and once; otherwise 1 and what is wrong."""

import collections
import csv
import sys

steps = collections.defaultdict(list)
with open(sys.argv[1]) as file:
    for row in csv.DictReader(file):
        steps[row["run_id"]].append(int(row["step"]))
every = int(sys.argv[2])
wrong = [] if steps else ["no points"]
for run, found in steps.items():
    if sorted(found) != list(range(every, max(found) + 1, every)):
        counts = collections.Counter(found)
        twice = [step for step, count in counts.items() if count > 1]
        lost = [step for step in range(every, max(found) + 1, every) if step not in counts]
        wrong.append(f"run {run}: twice {twice[:5]}, not there {lost[:5]}")
print("\n".join(wrong) or f"{len(steps)} runs, {sum(map(len, steps.values()))} points")
sys.exit(bool(wrong))
