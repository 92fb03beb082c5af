#!/usr/bin/env python3
"""Checks every #include of a source tree against tests/layering/allowed.txt.

  layering.py ROOT [ALLOWED]

Prints a line a violation, FILE:LINE with what it includes and what its room may, and exits 1 where
there is one.
"""

import fnmatch
import os
import pathlib
import re
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
SOURCES = (".h", ".cc", ".cu", ".cuh", ".cpp", ".hpp", ".c")


def lines_of(path):
    return pathlib.Path(path).read_text(encoding="utf-8").splitlines()


class Table:
    def __init__(self, path):
        self.everyone, self.rooms, self.libraries, self.forbidden = [], {}, {}, {}
        for number, line in enumerate(lines_of(path), 1):
            line = line.split("#")[0].strip()
            if not line:
                continue
            head, colon, rest = line.partition(":")
            kind, _, name = head.partition(" ")
            if not colon or kind not in ("everyone", "room", "library", "forbidden"):
                sys.exit(f"{path}:{number}: not everyone, room, library or forbidden: {line}")
            if kind == "everyone":
                self.everyone = rest.split()
            elif kind == "forbidden":
                self.forbidden[name.strip()] = rest.strip()
            else:
                getattr(self, "rooms" if kind == "room" else "libraries")[name.strip()] = rest.split()
        known = set(self.rooms) | set(self.libraries) | {"anything"}
        for room, allowed in [("everyone", self.everyone), *self.rooms.items()]:
            for name in allowed:
                if name not in known:
                    sys.exit(f"{path}: {room} may include '{name}', which is no room or library")

    def room_of(self, file):
        fitting = [r for r in self.rooms if file.startswith(r + "/") or file.startswith(r + ".")]
        return max(fitting, key=len, default=None)

    def library_of(self, header):
        for name, patterns in self.libraries.items():
            if any(fnmatch.fnmatchcase(header, pattern) for pattern in patterns):
                return name
        return "standard" if "." not in header and "/" not in header else None

    def violation(self, room, quote, header):
        """Why a file of `room` may not include `header`, or None."""
        if header in self.forbidden:
            return f"that no file may include ({self.forbidden[header]})"
        allowed = self.everyone + self.rooms[room]
        of = self.room_of(header)
        if of is None:
            of = self.library_of(header)
            if of is None and quote == '"' and "/" not in header:
                return "not from the repository's root (\"folder/file.h\")"
            if of is None and "anything" not in allowed:
                return "which is of no room or library in allowed.txt"
        elif of in ("tests", "bench") and room not in ("tests", "bench"):
            return "which only tests and benchmarks may"
        if of == room or of in allowed or "anything" in allowed:
            return None
        return f"of '{of}'; '{room}' may include: {' '.join(sorted(set([room] + allowed)))}"


def sources(root, table):
    for folder in sorted({room.split("/")[0] for room in table.rooms}):
        for path, folders, files in os.walk(os.path.join(root, folder)):
            folders.sort()
            for name in sorted(files):
                if name.endswith(SOURCES):
                    yield os.path.relpath(os.path.join(path, name), root)


def check(root, table):
    """Violations as lines, and how many files and includes were read."""
    violations, files, includes = [], 0, 0
    for file in sources(root, table):
        files += 1
        room = table.room_of(file)
        if room is None:
            violations.append(f"{file}: in no room of allowed.txt")
            continue
        for number, line in enumerate(lines_of(os.path.join(root, file)), 1):
            found = INCLUDE.match(line)
            if not found:
                continue
            includes += 1
            why = table.violation(room, *found.groups())
            if why:
                violations.append(f"{file}:{number}: includes {found.group(2)}, {why}")
    return violations, files, includes


def main():
    root = sys.argv[1]
    allowed = sys.argv[2] if len(sys.argv) > 2 else os.path.join(root, "tests/layering/allowed.txt")
    violations, files, includes = check(root, Table(allowed))
    for line in violations:
        print(line)
    print(f"{len(violations)} violations in {includes} includes of {files} files")
    sys.exit(1 if violations or includes == 0 else 0)


if __name__ == "__main__":
    main()
