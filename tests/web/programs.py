"""The real programs for the page's tests: a coordinator, a worker, `allo web`, and sweeps."""
import os
import pathlib
import pwd
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time

BIN = pathlib.Path(os.environ.get("ALLO_BIN", pathlib.Path(__file__).parents[2] / "build/bin"))
PATIENCE_S = 240

TINY = """name: tiny
dataset: words
model: {context: 32, sizes: [4k, 12k, 30k]}
training: {batch_tokens: 512, warmup_steps: 4, learning_rate: 3e-3, seeds: [1, 2]}
budgets: {tokens: [20480, 40960, 81920]}
log_every: 5
"""
OTHER = TINY.replace("name: tiny", "name: other").replace("3e-3", "1e-3").replace("seeds: [1, 2]", "seeds: [1]")

# Its losses are not finite after some updates: runs that fail.
BROKEN = TINY.replace("name: tiny", "name: broken").replace("3e-3", "100").replace("seeds: [1, 2]", "seeds: [1]").replace("[4k, 12k, 30k]", "[4k]")


def user():
    return pwd.getpwuid(os.geteuid()).pw_name


class Programs:
    def __init__(self, slots="cpu:2"):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="allo-page-"))
        self.address = f"unix:{self.folder}/c.sock"
        self.environment = {**os.environ, "ALLO_COORDINATOR": self.address, "ALLO_DATA_DIR": str(self.folder / "data"),
                            "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        self.slots = slots
        self.running = {}

    def start(self, name, *command):
        log = open(self.folder / f"{name}.log", "ab")
        self.running[name] = subprocess.Popen([str(BIN / command[0]), *command[1:]], env=self.environment,
                                              stdout=log, stderr=subprocess.STDOUT)
        log.close()

    def stop(self, name):
        process = self.running.pop(name)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def log(self, name):
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def wait(self, condition, what):
        until = time.monotonic() + PATIENCE_S
        while not (value := condition()):
            if time.monotonic() > until:
                raise AssertionError(f"did not come: {what}")
            time.sleep(0.1)
        return value

    def start_coordinator(self):
        self.start("coordinator", "allo-coordinator", "--db", str(self.folder / "a.db"), "--listen", self.address)
        self.wait(lambda: (self.folder / "c.sock").exists() and self.allo("sweeps", check=False).returncode == 0, "the coordinator")

    def start_worker(self):
        self.start("worker", "allo-worker", "--state-dir", str(self.folder / "w"), "--run-root", str(self.folder / "runs"),
                   "--data-dir", str(self.folder / "data"), "--slots", self.slots, "--coordinator", self.address)

    def start_page(self, *flags, name="page"):
        """The address that it prints."""
        self.start(name, "allo", "web", "--listen", "127.0.0.1:0", *flags)
        found = self.wait(lambda: re.search(r"open (\S+)", self.log(name)), "allo web's address")
        return found.group(1)

    def allo(self, *arguments, check=True):
        answer = subprocess.run([str(BIN / "allo"), *arguments], env=self.environment,
                                capture_output=True, text=True, timeout=PATIENCE_S)
        if check and answer.returncode != 0:
            raise AssertionError(f"allo {' '.join(arguments)}: {answer.stderr or answer.stdout}")
        return answer

    def make_data(self):
        words = random.Random(5)
        vocabulary = ["".join(words.choice("etaoinshrdlu") for _ in range(words.randint(2, 8))) for _ in range(300)]
        lines = (" ".join(words.choice(vocabulary) for _ in range(30)) for _ in range(3000))
        (self.folder / "words.txt").write_text("\n".join(lines))
        self.allo("data", "text", str(self.folder / "words.txt"), "--name", "words", "--documents", "lines")

    def submit(self, yaml):
        name = re.search(r"name: (\S+)", yaml).group(1)
        file = self.folder / f"{name}.yaml"
        file.write_text(yaml)
        self.allo("submit", str(file))
        return name

    def database(self):
        """For rows that no run would make in the time of a test. The coordinator must be stopped."""
        return sqlite3.connect(self.folder / "a.db")

    def long_curve(self, run_id, points):
        """Puts a curve of so many points into the series 'train' of a run."""
        noise = random.Random(3)
        with self.database() as db:
            db.execute("DELETE FROM points WHERE run_id = ? AND series_id = 2", (run_id,))
            db.executemany("INSERT INTO points (run_id, series_id, step, tokens, value, attempt) VALUES (?, 2, ?, ?, ?, 1)",
                           ((run_id, step, step * 512, 2 + 3 / step ** 0.3 + noise.gauss(0, 0.02)) for step in range(1, points + 1)))
        db.close()

    def close(self):
        for name in list(self.running)[::-1]:
            self.stop(name)
        shutil.rmtree(self.folder, ignore_errors=True)


def many_runs(name="many", runs=10_000):
    """A sweep file of so many runs: twenty sizes by seeds."""
    seeds = ", ".join(str(seed) for seed in range(1, runs // 20 + 1))
    sizes = ", ".join(f"{4 * 1.2 ** i:.1f}k" for i in range(20))
    return (f"name: {name}\ndataset: words\nmodel: {{context: 32, sizes: [{sizes}]}}\n"
            f"training: {{batch_tokens: 512, warmup_steps: 4, learning_rate: 3e-3, seeds: [{seeds}]}}\n"
            "budgets: {tokens: [20480, 81920]}\npriority: -10\n")
