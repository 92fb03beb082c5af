#!/usr/bin/env python3
"""make gpu-check: what only a GPU can show, in at most nine minutes, written to docs/results/gpu.md.

    gpu_check.py [--device cuda|cpu] [--build DIR] [--minutes 9] [--short] [--report FILE]

Builds the trainer alone (no gRPC, protobuf, SQLite or MPI), runs tests/trainer/trainer_gpu_test.cc
(bf16 against fp32, resume after SIGKILL, captured against enqueued updates, ...), and times whole
updates of allo-trainer beside eager and compiled PyTorch (bench/train_eager.py), from 8 thousand to
124 million parameters, with the share of the GPU's peak; small runs an hour as stacks, as a process
each and as a process each of compiled PyTorch; and, where there are two GPUs and mpirun, two ranks
with their gradient summed in buckets and as a whole.

--device cpu is the rehearsal: the same script, tests and tables with a CPU, written to another file
that says so. It shows that the check works, and nothing about a GPU. --build takes programs that
are built already. --short leaves out what takes longest, for a test of this script.

Ends with 0 where every check passed. What was not measured is in the report, with the reason.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent

# Dense bf16 products, TFLOP/s, by what the name of the GPU has in it: NVIDIA's data sheets.
PEAKS = [("B200", 2250), ("H200", 989), ("H100 PCIe", 756), ("H100", 989), ("A100", 312), ("L40S", 362), ("A10", 125)]


class Budget:
    def __init__(self, minutes):
        self.end = time.monotonic() + 60 * minutes

    def left(self):
        return self.end - time.monotonic()


def say(text):
    print(f"gpu-check: {text}", flush=True)


def output_of(command, timeout, **keywords):
    """(exit code, output); 124 where the time was up."""
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=max(1, timeout), **keywords
        )
        return done.returncode, done.stdout
    except subprocess.TimeoutExpired as expired:
        text = expired.stdout or b""
        return 124, text.decode(errors="replace") if isinstance(text, bytes) else text
    except OSError as error:
        return 127, str(error)


def last_lines(text, count=3):
    return " / ".join(line.strip() for line in text.strip().splitlines()[-count:]) or "no output"


class Check:
    def __init__(self, options):
        self.options = options
        self.cpu = options.device == "cpu"
        self.budget = Budget(options.minutes)
        self.failures = []
        self.lines = []  # of the report
        self.found_python = None
        self.build = pathlib.Path(options.build).resolve() if options.build else ROOT / "build-cuda"

    def fail(self, text):
        say(f"FAILED: {text}")
        self.failures.append(text)

    def write(self, *lines):
        self.lines.extend(lines)

    # What the numbers belong to.
    def describe_machine(self):
        self.name, self.peak = self.device_name()
        _, commit = output_of(["git", "-C", str(ROOT), "log", "-1", "--format=%h"], 10)
        when = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")
        if self.cpu:
            self.write(
                "# Rehearsal on a CPU",
                "",
                "**No GPU was used.** `make gpu-check DEVICE=cpu` ran the check itself on a CPU. Nothing here says how"
                " the trainer does on a GPU.",
            )
        else:
            self.write("# Measured on a GPU", "", "Written by `make gpu-check` on a machine with a GPU.")
        # What follows `git log` may say that this is no clone.
        commit = commit.strip() if commit and " " not in commit.strip() else "unknown"
        self.write("", f"Device: {self.name}. {os.cpu_count()} cores. Commit {commit}, {when}.", "")

    def device_name(self):
        if self.cpu:
            names = [line for line in open("/proc/cpuinfo") if line.startswith("model name")]
            return (names[0].split(":", 1)[1].strip() if names else platform.machine()), None
        code, text = output_of(
            ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"], 30
        )
        if code != 0 or not text.strip():
            sys.exit("gpu-check: nvidia-smi shows no GPU. 'make gpu-check DEVICE=cpu' rehearses the check on a CPU.")
        name = text.strip().splitlines()[0]
        peak = next((1e12 * peak for part, peak in PEAKS if part in name), None)
        return name, peak

    # The trainer alone.
    def compile(self):
        if self.options.build:
            say(f"the programs are those of {self.build}")
            return
        start = time.monotonic()
        targets = ["allo-trainer", "trainer_gpu_test", "train"] + ([] if self.cpu else ["allo-trainer-cuda"])
        say(f"building {', '.join(targets)} in {self.build}")
        configure = ["cmake", "--log-level=NOTICE", "-S", str(ROOT), "-B", str(self.build), "-G", "Ninja"]
        configure += ["-DALLOMETRY_ONLY_TRAINER=ON"]
        if os.environ.get("LIBTORCH"):
            configure.append(f"-DALLOMETRY_LIBTORCH_DIR={os.environ['LIBTORCH']}")
        for command in (configure, ["cmake", "--build", str(self.build), "--target", *targets]):
            # A CPU machine that rehearses may have few cores, and its time counts from here on.
            code, text = output_of(command, 3600 if self.cpu else self.budget.left())
            if code != 0:
                print(text, file=sys.stderr)
                sys.exit(f"gpu-check: {' '.join(command[:2])} ended with {code}")
        self.write(f"Built in {time.monotonic() - start:.0f} s.", "")
        if self.cpu:
            self.python()
            self.budget = Budget(self.options.minutes)

    def trainer(self):
        return self.build / "bin" / ("allo-trainer" if self.cpu else "allo-trainer-cuda")

    def run_tests(self):
        program = self.build / "tests" / "trainer_gpu_test"
        say(f"running {program.name} on the {'CPU' if self.cpu else 'GPU'}")
        environment = dict(os.environ, OMP_NUM_THREADS="1", ALLO_GPU_TEST_DEVICE=self.options.device)
        with tempfile.TemporaryDirectory(prefix="allometry-gpu-") as folder:
            results = pathlib.Path(folder, "results.json")
            command = [str(program), "--gtest_filter=GpuTest.*:GpuStackTest.*", f"--gtest_output=json:{results}"]
            if self.options.short:
                command[1] = "--gtest_filter=GpuTest.Losses*:GpuTest.ADiverged*"
            code, text = output_of(command, self.budget.left(), env=environment)
            tests = []
            if results.exists():
                tests = [test for suite in json.loads(results.read_text())["testsuites"] for test in suite["testsuite"]]
        if code != 0 or not tests:
            self.fail(f"{program.name} ended with {code}: {last_lines(text, 12)}")
        self.write("## Tests", "", "| test | result | seconds | measured |", "|---|---|---|---|")
        known = {"name", "file", "line", "status", "result", "timestamp", "time", "classname", "failures"}
        ran = 0
        for test in tests:
            result = "failed" if test.get("failures") else "skipped" if test["result"] == "SKIPPED" else "passed"
            ran += result == "passed"
            measured = ", ".join(f"{name} {value}" for name, value in test.items() if name not in known)
            self.write(f"| {test['name']} | {result} | {float(test['time'].rstrip('s')):.1f} | {measured} |")
        self.write("")
        if tests and ran == 0:
            self.fail("every test was skipped")

    # Speeds of whole updates.
    def shapes(self):
        code, text = output_of([str(self.build / "bench" / "train"), "--list-gpu"], 60)
        if code != 0:
            self.fail(f"bench/train --list-gpu ended with {code}: {last_lines(text)}")
            return []
        rows = []
        for line in text.splitlines():
            name, *numbers, flops = line.split()
            rows.append((name, *map(int, numbers), float(flops)))
        # The larger ones take minutes an update on a CPU.
        return rows[: 1 if self.options.short else 2] if self.cpu else rows

    def dataset(self, vocabulary, folder):
        """(folder of random tokens, reason why not)."""
        data = pathlib.Path(folder, f"data-{vocabulary}")
        if not data.exists():
            code, text = output_of([str(self.build / "bench" / "train"), "--dataset", str(data), str(vocabulary)], 120)
            if code != 0:
                return None, last_lines(text)
        return data, None

    def write_run(self, run, row, precision, **others):
        _, layers, heads, width, context, vocabulary, batch, _ = row
        run.mkdir()
        shape = {
            "family": "gpt", "layers": layers, "heads": heads, "width": width, "context": context,
            "vocabulary": vocabulary,
        }
        identity = {
            "shape": shape, "dataset": "random", "batch_tokens": batch * context, "learning_rate": 1e-4,
            "precision": precision, "seed": others.pop("seed", 0),
        }
        spec = {
            "identity": identity, "steps": 10**9, "evaluation_windows": batch, "log_every": 10,
            "device": self.options.device, **others,
        }
        (run / "run.json").write_text(json.dumps(spec))

    def ours(self, row, precision, seconds, folder, launcher=(), flags=(), **others):
        """(tokens a second, reason why not)."""
        name, _, _, _, context, vocabulary, batch, _ = row
        data, why = self.dataset(vocabulary, folder)
        if data is None:
            return None, why
        run = pathlib.Path(tempfile.mkdtemp(prefix=f"run-{name}-{precision}-", dir=folder), "run")
        self.write_run(run, row, precision, **others)
        code, text = output_of(
            [*launcher, str(self.trainer()), str(run), "--data-dir", str(data), "--measure", f"{seconds}s", *flags],
            min(60 + 3 * seconds, self.budget.left()),
            env=dict(os.environ, OMP_NUM_THREADS="1"),
        )
        measured = next((line for line in reversed(text.splitlines()) if line.startswith("{")), None)
        if code != 0 or measured is None:
            return None, last_lines(text)
        numbers = json.loads(measured)
        # On a CPU what other processes take of the core does not count, as in train_eager.py.
        update = numbers["update_cpu_s"] if self.cpu and not launcher else numbers["update_s"]
        return batch * context / update, None

    def python(self):
        """(command, environment, reason why not) of a Python that has PyTorch."""
        if self.found_python is None:
            self.found_python = self.find_python()
        return self.found_python

    def find_python(self):
        code, _ = output_of([sys.executable, "-c", "import torch"], 60)
        if code == 0:
            return [sys.executable], dict(os.environ), None
        script = f'source bench/eager_python.sh && eager_python "{self.build}" >&2 && echo "$python" && echo "$PYTHONPATH"'
        code, text = output_of(["bash", "-c", script], min(180, self.budget.left() / 2), cwd=ROOT)
        lines = text.strip().splitlines()
        if code != 0 or len(lines) < 2:
            why = "what it needs did not come in time" if code == 124 else last_lines(text, 2)
            return None, None, f"no Python with PyTorch: {why}"
        return [lines[-2]], dict(os.environ, PYTHONPATH=lines[-1]), None

    def peer(self, python, row, precision, compiled, seconds):
        command, environment, _ = python
        _, layers, heads, width, context, vocabulary, batch, _ = row
        line = f"{layers} {heads} {width} {context} {vocabulary} {batch} {seconds}\n"
        arguments = ["--device", self.options.device, "--precision", precision] + (["--compile"] if compiled else [])
        code, text = output_of(
            [*command, str(ROOT / "bench" / "train_eager.py"), *arguments],
            # The first compilation of a machine takes minutes where its cores are busy; what follows is to have
            # time left.
            min((240 if compiled else 60) + 3 * seconds, self.budget.left() / 3),
            input=line, env=dict(environment, OMP_NUM_THREADS="1"),
        )
        lines = text.strip().splitlines()
        if code != 0 or not lines or not lines[-1].isdigit():
            return None, "the time was up" if code == 124 else last_lines(text, 1)
        return float(lines[-1]), None

    def run_speeds(self):
        seconds = 0.5 if self.options.short else 1 if self.cpu else 3
        precision = "bf16"
        python = self.python()
        unit = "CPU-second, one thread" if self.cpu else "second"
        self.write(
            "## Speed",
            "",
            f"Whole updates in {precision} (forward, backward, clip, AdamW, reading the batch), tokens a {unit}; peers:"
            " nanoGPT's model and loop in PyTorch (`bench/train_eager.py`). The share of the peak is that of the"
            " products' floating-point operations.",
            "",
            "| shape | ours | eager | compiled | ours / eager | ours / compiled | of peak |",
            "|---|---|---|---|---|---|---|",
        )
        missing = []
        with tempfile.TemporaryDirectory(prefix="allometry-gpu-") as folder:
            for row in self.shapes():
                name, *_, flops = row
                if self.budget.left() < 30:
                    missing.append(f"{name}: the time was up")
                    continue
                say(f"timing {name}")
                ours, why = self.ours(row, precision, seconds, folder)
                if ours is None:
                    self.fail(f"{name}, ours: {why}")
                speeds = {}
                for peer, compiled in (("eager", False), ("compiled", True)):
                    reason = python[2]
                    if compiled and self.options.short:
                        reason = "left out by --short"
                    if reason is None:
                        speeds[peer], reason = self.peer(python, row, precision, compiled, seconds)
                    if speeds.get(peer) is None:
                        missing.append(f"{name}, {peer}: {reason}")
                peak = f"{100 * ours * flops / self.peak:.1f} %" if ours and self.peak else "-"
                number = lambda value: f"{value:,.0f}" if value else "-"  # noqa: E731
                ratio = lambda peer: f"{ours / speeds[peer]:.2f}" if ours and speeds.get(peer) else "-"  # noqa: E731
                self.write(
                    f"| {name} | {number(ours)} | {number(speeds.get('eager'))} | {number(speeds.get('compiled'))} |"
                    f" {ratio('eager')} | {ratio('compiled')} | {peak} |"
                )
        self.write("")
        if self.peak:
            self.write(f"Peak: {self.peak / 1e12:.0f} TFLOP/s, dense bf16 products, NVIDIA's data sheet.", "")
        if missing:
            self.write("Not measured:", "", *(f"- {text}" for text in missing), "")

    # Many small runs.
    def run_stacks(self):
        width, updates = (2, 20) if self.options.short else (4, 200) if self.cpu else (32, 1000)
        most = 10**4 if self.cpu else 10**6  # parameters
        unit = "CPU-hour" if self.cpu else "hour"
        self.write(
            "## Small runs",
            "",
            f"Runs of {updates} updates a {unit}, with the start and the end of their processes: {width} runs as a stack"
            f" in one process (`allo-trainer --stack`), a process a run, and a process a run of nanoGPT's model and loop,"
            f" compiled; what PyTorch compiled for an earlier process it takes from its cache."
            f" {'All in fp32.' if self.cpu else 'Ours in tf32, the peer in bf16.'}",
            "",
            "| shape | stacked | a process each | compiled nanoGPT | stacked / process | stacked / compiled |",
            "|---|---|---|---|---|---|",
        )
        python = self.python()
        missing = []
        with tempfile.TemporaryDirectory(prefix="allometry-gpu-") as folder:
            for row in self.shapes():
                name, layers, heads, width_of_model, context, vocabulary, batch, _ = row
                if self.budget.left() < 30:
                    missing.append(f"{name}: the time was up")
                    continue
                if 12 * layers * width_of_model**2 + vocabulary * width_of_model > most:
                    continue
                say(f"timing a stack of {width} runs of {name}")
                data, why = self.dataset(vocabulary, folder)
                if data is None:
                    self.fail(f"{name}, data: {why}")
                    continue
                hourly = {}
                for how, runs in (("stacked", width), ("alone", 1)):
                    folders = [pathlib.Path(folder, f"{name}-{how}-{k}") for k in range(runs)]
                    for seed, run in enumerate(folders):
                        self.write_run(
                            run, row, "fp32" if self.cpu else "tf32", seed=seed, steps=updates, log_every=100,
                            evaluation_steps=[updates],
                        )
                    arguments = ["--stack", str(width)] if how == "stacked" else []
                    seconds, why = self.seconds_of(
                        [str(self.trainer()), *map(str, folders), "--data-dir", str(data), *arguments]
                    )
                    if seconds is None:
                        self.fail(f"{name}, {how}: {why}")
                    else:
                        hourly[how] = 3600 * runs / seconds
                reason = "left out by --short" if self.options.short else python[2]
                if reason is None:
                    line = f"{layers} {heads} {width_of_model} {context} {vocabulary} {batch} 1\n"
                    command = [*python[0], str(ROOT / "bench" / "train_eager.py"), "--device", self.options.device]
                    command += ["--precision", "fp32" if self.cpu else "bf16", "--compile", "--updates", str(updates)]
                    seconds, reason = self.seconds_of(
                        command, input=line, environment=python[1], limit=self.budget.left() / 3
                    )
                    if seconds is not None:
                        hourly["compiled"] = 3600 / seconds
                if "compiled" not in hourly:
                    missing.append(f"{name}, compiled nanoGPT: {reason}")
                number = lambda how: f"{hourly[how]:,.0f}" if how in hourly else "-"  # noqa: E731
                ratio = lambda how: (  # noqa: E731
                    f"{hourly['stacked'] / hourly[how]:.2f}" if how in hourly and "stacked" in hourly else "-"
                )
                self.write(
                    f"| {name} | {number('stacked')} | {number('alone')} | {number('compiled')} | {ratio('alone')} |"
                    f" {ratio('compiled')} |"
                )
        self.write("")
        if missing:
            self.write("Not measured:", "", *(f"- {text}" for text in missing), "")

    def seconds_of(self, command, input=None, environment=None, limit=None):
        """(what a process takes from start to end, reason why not): seconds, on a CPU those of the processor."""
        start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        code, text = output_of(
            command, limit or self.budget.left(), input=input, env=dict(environment or os.environ, OMP_NUM_THREADS="1")
        )
        wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        if code != 0:
            return None, "the time was up" if code == 124 else last_lines(text)
        return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) if self.cpu else wall, None

    # Two ranks.
    def run_ranks(self):
        self.write("## Two ranks", "")
        _, listed = output_of(["nvidia-smi", "-L"], 30) if not self.cpu else (0, "")
        gpus = sum(line.startswith("GPU ") for line in listed.splitlines())
        rows = self.shapes()
        why = None
        if shutil.which("mpirun") is None:
            why = "there is no mpirun"
        elif not self.cpu and gpus < 2:
            why = f"this machine has {gpus} GPU"
        elif not rows:
            why = "there are no shapes"
        elif self.budget.left() < 30:
            why = "the time was up"
        if why is not None:
            self.write(f"Not measured: {why}. So nothing is known of sums in buckets (`--bucket-mib`) either.", "")
            return
        row = rows[-1]
        mpirun = ["mpirun", "-np", "2", "--oversubscribe"] + (["--allow-run-as-root"] if os.geteuid() == 0 else [])
        kept = ("CUDA_", "NCCL_", "LD_LIBRARY_PATH", "OMP_NUM_THREADS")
        for name in os.environ:
            if name.startswith(kept):
                mpirun += ["-x", name]
        precision, seconds = ("fp32", 0.5) if self.cpu else ("bf16", 3)
        say(f"timing {row[0]} on two ranks")
        speeds = {}
        with tempfile.TemporaryDirectory(prefix="allometry-gpu-") as folder:
            # The least bucket on a CPU, so that the small model has several.
            buckets = "0.01" if self.cpu else "25"
            for how, launcher, flags, ranks in (
                ("one rank", [], [], 1),
                ("two, the gradient as a whole", mpirun, ["--bucket-mib", "0"], 2),
                (f"two, in buckets of {buckets} MiB", mpirun, ["--bucket-mib", buckets], 2),
            ):
                speed, why = self.ours(
                    row, precision, seconds, folder, launcher, flags, ranks=ranks, step_backend="autograd"
                )
                if speed is None:
                    if "was built without MPI" in (why or ""):
                        self.write("Not measured: the trainer was built without MPI.", "")
                        return
                    self.fail(f"{row[0]}, {how}: {why}")
                else:
                    speeds[how] = speed
        self.write(
            f"{row[0]} in {precision}, tokens a second" + (" (two processes that share cores)" if self.cpu else "") + ":",
            "", "| ranks | tokens a second |", "|---|---|",
            *(f"| {how} | {speed:,.0f} |" for how, speed in speeds.items()), "",
        )

    def finish(self):
        if self.failures:
            self.write("## Failed", "", *(f"- {text}" for text in self.failures), "")
        self.write(
            "Not measured by this check: more GPUs than two, GPUs on several hosts (NCCL was tested on a stand-in, on"
            " host memory), runs of days, and GPUs of other kinds.",
        )
        report = pathlib.Path(self.options.report) if self.options.report else (
            self.build / "gpu-rehearsal.md" if self.cpu else ROOT / "docs" / "results" / "gpu.md"
        )
        report.write_text("\n".join(self.lines) + "\n")
        what = "a rehearsal on a CPU; no GPU was used" if self.cpu else f"on {self.name}"
        say(f"{'FAILED' if self.failures else 'passed'}, {what}: {report}")
        return 1 if self.failures else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--build", help="a build folder with the programs; without it build-cuda/ is built")
    parser.add_argument("--minutes", type=float, default=9)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--report", help="the file to write")
    options = parser.parse_args()
    for tool in [] if options.build else ["cmake", "ninja"]:
        if shutil.which(tool) is None:
            sys.exit(f"gpu-check: {tool} is not installed")
    check = Check(options)
    check.describe_machine()
    check.compile()
    check.run_tests()
    check.run_speeds()
    check.run_stacks()
    check.run_ranks()
    sys.exit(check.finish())


if __name__ == "__main__":
    main()
