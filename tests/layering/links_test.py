#!/usr/bin/env python3
"""What the built programs load: the split of DESIGN §2, as the linker sees it.

  links_test.py BIN_DIR

Exits 77 (skipped) where no program is built.
"""

import os
import re
import subprocess
import sys

NEVER = {
    "allo-trainer": ("libgrpc", "libprotobuf", "libsqlite3", "libtorch_cuda"),
    "allo-trainer-cuda": ("libgrpc", "libprotobuf", "libsqlite3"),
    "allo-supervisor": ("libgrpc", "libprotobuf", "libtorch", "libc10", "libmpi", "libsqlite3"),
    "allo-worker": ("libtorch", "libc10", "libmpi", "libnccl", "libsqlite3"),
    "allo-coordinator": ("libtorch", "libc10", "libmpi", "libnccl"),
    "allo": ("libtorch", "libc10", "libmpi", "libnccl", "libsqlite3"),
}


def main():
    violations, checked = [], []
    for program, never in NEVER.items():
        path = os.path.join(sys.argv[1], program)
        if not os.path.exists(path):
            continue
        dynamic = subprocess.run(["readelf", "-dW", path], check=True, capture_output=True,
                                 text=True).stdout
        libraries = re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic)
        if not libraries:
            violations.append(f"{program}: readelf shows no libraries")
        checked.append(program)
        for library in libraries:
            if library.startswith(never):
                violations.append(f"{program} links {library}, which it never may")
    for line in violations:
        print(line)
    print("checked:", ", ".join(checked) or "none: no program is built in " + sys.argv[1])
    sys.exit(1 if violations else 0 if checked else 77)


if __name__ == "__main__":
    main()
