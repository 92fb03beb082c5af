#!/usr/bin/env python3
"""Plants violations in a small tree: the layering check must name each, and nothing else."""

import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import layering  # noqa: E402

TABLE = layering.Table(os.path.join(os.path.dirname(os.path.abspath(__file__)), "allowed.txt"))

# File, one include, and what the message must have; None where it is allowed.
CASES = [
    ("fitting/law/law.cc", '"fitting/law/law.h"', None),
    ("fitting/law/law.cc", '"base/status.h"', None),
    ("fitting/law/law.cc", "<Eigen/Dense>", None),
    ("fitting/law/law.cc", "<vector>", None),
    ("fitting/law/law.cc", '"absl/status/status.h"', None),
    ("fitting/law/law.cc", '"proto/types.pb.h"', "of 'proto'; 'fitting/law' may include"),
    ("fitting/law/law.cc", "<sqlite3.h>", "of 'sqlite'"),
    ("fitting/law/law.cc", '"fitting/solve/newton.h"', "of 'fitting/solve'; 'fitting/law'"),
    ("coordinator/store/sqlite.cc", "<sqlite3.h>", None),
    ("coordinator/server.cc", "<sqlite3.h>", "of 'sqlite'; 'coordinator' may"),
    ("coordinator/server.cc", '"coordinator/store/store.h"', None),
    ("coordinator/schedule/decide.cc", '"coordinator/store/store.h"', "of 'coordinator/store'"),
    ("coordinator/sweep/expand.cc", '"models/shape.h"', None),
    ("coordinator/sweep/expand.cc", '"models/train_step.h"', "of 'models'; 'coordinator/sweep'"),
    ("coordinator/sweep/expand.cc", '"data/windows.h"', "of 'data'; 'coordinator/sweep'"),
    ("models/shape.cc", "<ATen/core/Tensor.h>", "of 'libtorch'; 'models/shape'"),
    ("models/step.cc", "<ATen/core/Tensor.h>", None),
    ("models/step.cc", "<torch/torch.h>", "no file may include (20 s"),
    ("tests/models/step_test.cc", "<ATen/ATen.h>", "no file may include (8 s"),
    ("tests/models/step_test.cc", "<ATen/ops/mm.h>", None),
    ("worker/trainer/main.cc", "<grpcpp/grpcpp.h>", "of 'grpc'; 'worker/trainer'"),
    ("worker/trainer/main.cc", '"proto/types.pb.h"', "of 'proto'; 'worker/trainer'"),
    ("worker/comm/mpi.cc", "<mpi.h>", None),
    ("worker/trainer/main.cc", "<mpi.h>", "of 'mpi'"),
    ("worker/agent/main.cc", "<ATen/core/Tensor.h>", "of 'libtorch'"),
    ("data/text.cc", "<zlib.h>", "of 'zlib'; 'data'"),
    ("data/documents.cc", "<zlib.h>", None),
    ("data/text.cc", '"CLI/App.hpp"', "of 'cli11'"),
    ("cli/main.cc", '"coordinator/server.h"', "of 'coordinator'; 'cli'"),
    ("base/files.cc", '"tests/testing/status_matchers.h"', "only tests and benchmarks"),
    ("base/files.cc", '"files.h"', "not from the repository's root"),
    ("base/files.cc", "<poco/any.h>", "of no room or library"),
    ("worker/stray.cc", "<vector>", "in no room"),
]


class LayeringTest(unittest.TestCase):
    def violations(self, file, text):
        with tempfile.TemporaryDirectory() as root:
            path = os.path.join(root, file)
            os.makedirs(os.path.dirname(path))
            with open(path, "w", encoding="utf-8") as out:
                out.write(text)
            return layering.check(root, TABLE)

    def test_every_planted_violation_is_named_and_nothing_else(self):
        for file, include, expected in CASES:
            with self.subTest(file=file, include=include):
                violations, files, _ = self.violations(file, f"// a comment\n  # include {include}\n")
                self.assertEqual(files, 1)
                if expected is None:
                    self.assertEqual(violations, [])
                else:
                    self.assertEqual(len(violations), 1, violations)
                    self.assertIn(expected, violations[0])
                    if "no room" not in expected or "library" in expected:
                        self.assertIn(f"{file}:2: includes {include[1:-1]}, ", violations[0])

    def test_comments_and_strings_are_no_includes(self):
        violations, _, includes = self.violations(
            "fitting/law/law.cc", '// #include <sqlite3.h>\nconst char* s = "#include <mpi.h>";\n')
        self.assertEqual((violations, includes), ([], 0))


if __name__ == "__main__":
    unittest.main()
