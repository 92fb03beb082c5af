"""allometry.trainer on folders made here, as the agent makes them. Standard library only."""

import json
import os
import subprocess
import sys
import tempfile
import time
import unittest
import zlib
from pathlib import Path


def run_json(**changes):
    spec = {
        "attempt": 1, "steps": 20, "evaluation_steps": [5, 10, 20], "checkpoint_steps": [7],
        "log_every": 5, "checkpoint_every_s": 1e9, "device": "cpu", "ranks": 1,
        "identity": {"seed": 3, "batch_tokens": 8, "learning_rate": 0.5, "warmup_steps": 4,
                     "schedule": "constant", "dataset": "external:x,tokens=9",
                     "trainer": {"args": {"depth": 2}, "size": {"label": "s", "params": 12}}},
        "a_field_of_version_1_9": {"x": 1},
    }
    spec.update(changes)
    return spec


WHOLE = """
from allometry.trainer import Run
run = Run.from_environment(params=12)
assert run.args == {"depth": 2} and run.size["params"] == 12 and run.seed == 3
for step in run.steps:
    run.log(step, train=1.0 / step)
    if step in run.evaluation_steps:
        run.log(step, heldout=2.0 / step)
    if run.should_checkpoint(step):
        with run.checkpoint(step, ".txt") as path:
            path.write_text(str(step))
    if run.should_stop():
        run.stop(step)
run.finish()
"""


class TrainerTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.run_dir = Path(self.folder.name) / "run-1"
        self.run_dir.mkdir()

    def start(self, script, spec=None, **environment):
        (self.run_dir / "run.json").write_text(json.dumps(spec or run_json()))
        env = {**os.environ, "ALLOMETRY_RUN_DIR": str(self.run_dir), **environment}
        process = subprocess.Popen([sys.executable, "-c", script], env=env, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(lambda: process.stdin.closed or process.stdin.close())
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def say(self, process, line):
        process.stdin.write(line + "\n")
        process.stdin.flush()

    def lease(self, seconds):
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"lease {boot_id} {now} {now + int(seconds * 1e9)} {int(seconds * 1000)}"

    def records(self, attempt=1):
        records = []
        for line in (self.run_dir / f"attempt-{attempt}" / "spool").read_bytes().splitlines():
            check, _, text = line.partition(b" ")
            self.assertEqual(int(check, 16), zlib.crc32(text))
            records.append(json.loads(text))
        self.assertEqual([r["seq"] for r in records], list(range(1, len(records) + 1)))
        return records

    def points(self, series, attempt=1):
        return {r["step"]: r["value"] for r in self.records(attempt) if r.get("series") == series}

    def test_a_whole_run_says_what_the_contract_asks_for(self):
        process = self.start(WHOLE)
        self.assertEqual(process.wait(), 0, process.stdout.read())
        records = self.records()
        self.assertEqual((records[0]["kind"], records[0]["params"]), ("numerics", 12))
        self.assertEqual(self.points("train"), {5: 0.2, 10: 0.1, 15: 1 / 15, 20: 0.05})
        self.assertEqual(self.points("heldout"), {5: 0.4, 10: 0.2, 20: 0.1})
        self.assertTrue(all(r["tokens"] == 8 * r["step"] for r in records if r["kind"] == "point"))
        saved = [r for r in records if r["kind"] == "checkpoint"]
        self.assertEqual(saved, [{"seq": saved[0]["seq"], "kind": "checkpoint", "step": 7,
                                  "file": "attempt-1/checkpoint-000000000007.txt",
                                  "hash": f"{zlib.crc32(b'7'):08x}", "bytes": 1}])
        self.assertEqual((self.run_dir / saved[0]["file"]).read_text(), "7")
        self.assertEqual((records[-1]["reason"], records[-1]["step"]), ("SUCCEEDED", 20))

    def test_it_resumes_after_its_checkpoint_and_refuses_a_damaged_one(self):
        self.start(WHOLE).wait()
        start = {"attempt": 1, "step": 7, "file": "attempt-1/checkpoint-000000000007.txt",
                 "hash": f"{zlib.crc32(b'7'):08x}"}
        script = WHOLE.replace("for step", "print(run.resume_from.read_text())\nfor step")
        process = self.start(script, run_json(attempt=2, start=start))
        self.assertEqual(process.wait(), 0)
        self.assertEqual(self.points("heldout", 2), {10: 0.2, 20: 0.1})
        (self.run_dir / start["file"]).write_text("8")
        process = self.start(script, run_json(attempt=3, start=start))
        self.assertEqual(process.wait(), 72)
        self.assertEqual(self.records(3)[-1]["reason"], "CHECKPOINT")

    SLOW = WHOLE.replace("for step in run.steps:", "import time\nfor step in run.steps:\n    time.sleep(.3)")

    def until(self, condition):
        for _ in range(2000):
            if condition():
                return
            time.sleep(0.01)
        self.fail("it did not come")

    def test_told_to_stop_it_says_as_what(self):
        for attempt, (word, reason, code) in enumerate(
                [("preempt", "PREEMPTED", 69), ("cancel", "CANCELLED_BY_USER", 78)], 1):
            process = self.start(self.SLOW, run_json(attempt=attempt))
            self.say(process, self.lease(100))
            self.until(lambda: (self.run_dir / f"attempt-{attempt}" / "spool").exists())
            self.say(process, word)
            self.assertEqual(process.wait(), code)
            self.assertEqual(self.records(attempt)[-1]["reason"], reason)

    def test_a_lease_that_ends_ends_it_without_another_word(self):
        process = self.start(self.SLOW)
        self.say(process, self.lease(0.5))
        self.assertEqual(process.wait(), 75)
        self.assertNotIn("exit", [r["kind"] for r in self.records()])

    def test_whoever_reads_late_goes_by_the_last_line(self):
        process = self.start("import time\ntime.sleep(1)\n" + self.SLOW)
        for seconds in (0.1, 0.2, 100):
            self.say(process, self.lease(seconds))
        time.sleep(0.5)
        self.assertEqual(process.wait(), 0)

    def test_an_input_that_closes_ends_it(self):
        process = self.start(self.SLOW)
        self.say(process, self.lease(100))
        process.stdin.close()
        self.assertEqual(process.wait(), 75)

    def test_a_loss_that_is_not_finite_is_a_divergence(self):
        process = self.start(WHOLE.replace("train=1.0 / step", "train=float('inf')"))
        self.assertEqual(process.wait(), 66)
        self.assertEqual(self.records()[-1]["reason"], "DIVERGED")
        self.assertIn(None, self.points("train").values())

    def test_an_exception_is_a_bug_with_its_words(self):
        process = self.start(WHOLE.replace("run.finish()", "raise ValueError('what')"))
        self.assertEqual(process.wait(), 71)
        self.assertEqual(self.records()[-1]["message"], "ValueError: what")

    def test_all_ranks_stop_at_the_same_update(self):
        script = ("import os, sys, time\nfrom allometry.trainer import Run\n"
                  "run = Run.from_environment()\nprint('ready', flush=True)\n"
                  "for step in range(1, 1000):\n"
                  "    sys.stdin.readline() if run.rank else time.sleep(.01)\n"
                  "    if run.should_stop():\n        print('stops', step, flush=True)\n        break\n")
        # Two ranks in lockstep by hand: rank 1 goes on a step when it is told.
        one = self.start(script, RANK="1", WORLD_SIZE="2")
        script0 = (script.replace("time.sleep(.01)", "open(os.environ['STEP']).read(1)")
                   + "    print('goes on', flush=True)\n")
        fifo = str(self.run_dir / "step")
        os.mkfifo(fifo)
        zero = self.start(script0, RANK="0", WORLD_SIZE="2", STEP=fifo)
        self.assertEqual(zero.stdout.readline(), "ready\n")
        self.assertEqual(one.stdout.readline(), "ready\n")
        said = ""
        for step in range(1, 200):
            if step == 4:
                self.say(zero, "preempt")
            with open(fifo, "w") as pipe:
                pipe.write("x")
            said = zero.stdout.readline()
            self.say(one, "")
            if said != "goes on\n":
                break
        self.assertEqual(said, f"stops {step}\n")
        self.assertEqual(one.stdout.readline(), said)

    def test_a_process_for_each_device_has_its_rank_of_the_worker(self):
        script = ("from allometry.trainer import Run\nrun = Run.from_environment()\n"
                  "print(run.rank, run.world_size)\nrun.log(5, train=1.0)\nrun.finish()\n")
        for rank in (1, 0):
            process = self.start(script, ALLOMETRY_RANK=str(rank), ALLOMETRY_RANKS="2")
            self.assertEqual(process.stdout.read(), f"{rank} 2\n")
            self.assertEqual((self.run_dir / "attempt-1" / "spool").exists(), rank == 0)

    def test_schedules_are_ours(self):
        script = ("from allometry.trainer import Run\nrun = Run.from_environment()\n"
                  "print([round(run.learning_rate_at(s), 6) for s in (1, 4, 10, 15, 20)])\n")
        identity = run_json()["identity"]
        for schedule, last, rates in [("wsd", 0.0, [0.125, 0.5, 0.5, 0.25, 0.0]),
                                      ("cosine", 0.1, [0.125, 0.5, 0.5, 0.275, 0.05])]:
            changed = {**identity, "schedule": schedule, "decay_begin": 10, "decay_end": 20,
                       "final_rate_fraction": last}
            process = self.start(script, run_json(identity=changed))
            self.assertEqual(process.stdout.readline().strip(), str(rates))
            process.wait()
            (self.run_dir / "attempt-1" / "spool").unlink()


if __name__ == "__main__":
    unittest.main()
