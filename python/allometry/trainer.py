"""The trainer's side of an Allometry run, after docs/trainer.md. Standard library only.

    from allometry.trainer import Run

    run = Run.from_environment(params=count(model))
    if run.resume_from:
        load(run.resume_from)
    for step in run.steps:                      # from the one after the checkpoint to the last
        loss = update(run.batch_tokens)
        run.log(step, train=loss)
        if step in run.evaluation_steps:
            run.log(step, heldout=evaluate())
        if run.should_checkpoint(step):
            with run.checkpoint(step) as path:
                save(path)
        if run.should_stop():
            run.stop(step)                      # ends the process
    run.finish()

Under torchrun, JAX or MPI every rank makes a Run; rank 0 alone writes, and all call should_stop()
once an update.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import sys
import threading
import time
import traceback
import zlib
from pathlib import Path
from typing import Any, Dict, Iterator, List, NoReturn, Optional, Set

CONTRACT = "1.1"

# Exit codes: 64 + the number of the reason (docs/trainer.md).
_EXIT_CODES = {"SUCCEEDED": 0, "DIVERGED": 66, "OOM": 67, "DATA": 68, "PREEMPTED": 69, "BUG": 71,
               "CHECKPOINT": 72, "LEASE_LOST": 75, "DISK_FULL": 76, "CANCELLED_BY_USER": 78}


def _number(*names: str, default: int) -> int:
    return next((int(os.environ[n]) for n in names if os.environ.get(n, "").isdigit()), default)


def rank() -> int:
    return _number("RANK", "ALLOMETRY_RANK", "JAX_PROCESS_ID", "OMPI_COMM_WORLD_RANK", "PMIX_RANK",
                   default=0)


def world_size() -> int:
    return _number("WORLD_SIZE", "ALLOMETRY_RANKS", "JAX_NUM_PROCESSES", "OMPI_COMM_WORLD_SIZE",
                   default=1)


class Run:
    """One attempt of one run. `spec` is run.json as it is; the other members are what most need."""

    def __init__(self, run_dir: "str | os.PathLike[str]", params: int = 0) -> None:
        self.run_dir = Path(run_dir)
        self.spec: Dict[str, Any] = json.loads((self.run_dir / "run.json").read_text())
        identity = self.spec["identity"]
        trainer, start = identity.get("trainer", {}), self.spec.get("start")
        self.rank, self.world_size = rank(), world_size()
        self.attempt: int = self.spec.get("attempt", 1)
        self.attempt_dir = self.run_dir / f"attempt-{self.attempt}"
        self.args: Dict[str, Any] = trainer.get("args") or {}
        self.size: Dict[str, Any] = trainer.get("size") or {}
        self.seed: int = identity.get("seed", 0)
        self.learning_rate: float = identity["learning_rate"]  # the peak; see learning_rate_at
        self.batch_tokens: int = identity["batch_tokens"]
        self.last_step: int = self.spec["steps"]
        self.evaluation_steps: Set[int] = set(self.spec.get("evaluation_steps", []))
        self.checkpoint_steps: Set[int] = set(self.spec.get("checkpoint_steps", []))
        self.log_every: int = self.spec.get("log_every", 10)
        self.start_step: int = start["step"] if start else 0
        self.steps = range(self.start_step + 1, self.last_step + 1)
        self._sequence, self._checks, self._stop_at, self._word = 0, 0, 0, ""
        self._saved_at = time.monotonic()
        self._stop_file = self.attempt_dir / "stop-at"
        self._spool: Any = None
        if self.rank == 0:
            self.attempt_dir.mkdir(parents=True, exist_ok=True)
            self._spool = open(self.attempt_dir / "spool", "xb", buffering=0)
            self._stop_file.write_text("0")
            self._append("numerics", ranks=self.world_size, params=params, contract=CONTRACT,
                         device=self.spec.get("device", "cpu"))
            threading.Thread(target=self._listen, daemon=True).start()
        sys.excepthook = self._crashed
        self.resume_from: Optional[Path] = self._verified(start) if start else None

    @classmethod
    def from_environment(cls, params: int = 0) -> "Run":
        """The run that the worker started this process for. `params`: of the whole model, which
        must be what the sweep file says; 0 does not compare."""
        folder = os.environ.get("ALLOMETRY_RUN_DIR")
        if not folder:
            raise RuntimeError("ALLOMETRY_RUN_DIR is not set: a worker of Allometry starts this "
                               "program, or 'allo trainer check'")
        return cls(folder, params)

    def learning_rate_at(self, step: int) -> float:
        """The rate of update `step`, from 1, under the run's schedule."""
        identity = self.spec["identity"]
        warmup, begin = identity.get("warmup_steps", 0), identity.get("decay_begin", 0)
        end, last = identity.get("decay_end", 0), identity.get("final_rate_fraction", 0.0)
        if step < warmup:
            return float(self.learning_rate * step / warmup)
        if not end or step <= begin:
            return self.learning_rate
        done = min(1.0, (step - begin) / (end - begin))
        left = 1 - done if identity["schedule"] == "wsd" else (1 + math.cos(math.pi * done)) / 2
        return float(self.learning_rate * (last + (1 - last) * left))

    def log(self, step: int, tokens: Optional[int] = None, **series: float) -> None:
        """Points after update `step`. `train` is kept every log_every updates, the others always."""
        if self._spool is None:
            return
        for name, value in series.items():
            if name == "train" and step % self.log_every and step != self.last_step:
                continue
            number = float(value)
            self._append("point", step=step, series=name,
                         tokens=step * self.batch_tokens if tokens is None else tokens,
                         value=number if math.isfinite(number) else None)
            if name in ("train", "heldout") and not math.isfinite(number):
                self.exit("DIVERGED", f"the {name} loss at step {step} is {number}", step)

    def should_checkpoint(self, step: int) -> bool:
        """Whether `step` needs one: it was asked for (on every rank), or the time has come (which
        rank 0 alone is told: others save nothing then)."""
        if step in self.checkpoint_steps:
            return True
        due = time.monotonic() - self._saved_at > self.spec.get("checkpoint_every_s", 60.0)
        return due and self.rank == 0

    @contextlib.contextmanager
    def checkpoint(self, step: int, suffix: str = "") -> Iterator[Path]:
        """A path to save to, a file or a folder; known to the coordinator once the block is left.
        On other ranks than 0 nothing is registered: save there only what rank 0's path needs."""
        name = f"checkpoint-{step:012d}{suffix}"
        path = self.attempt_dir / name
        draft = self.attempt_dir / f".draft-{name}"
        if self.rank == 0:
            shutil.rmtree(draft, ignore_errors=True)
        yield draft
        if self.rank != 0:
            return
        crc, size = _crc_of(draft, sync=True)
        os.rename(draft, path)
        folder = os.open(self.attempt_dir, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
        os.fsync(self._spool.fileno())
        self._append("checkpoint", step=step, file=f"attempt-{self.attempt}/{name}",
                     hash=f"{crc:08x}", bytes=size)
        os.fsync(self._spool.fileno())
        self._saved_at = time.monotonic()

    def should_stop(self) -> bool:
        """Whether to write a checkpoint and call stop(). Call it once an update on every rank: all
        ranks then get the same answer at the same update."""
        self._checks += 1
        if self.world_size == 1:
            return bool(self._word)
        # No rank is more than one update ahead, since an update needs all of them: what rank 0
        # decides now for the next update is known there by all. The file is there from the start
        # and opened anew, so that a network file system shows other hosts what was written last.
        if self.rank == 0:
            if self._word and not self._stop_at:
                self._stop_at = self._checks + 1
                with open(self._stop_file, "r+") as file:
                    file.write(str(self._stop_at))
                    file.flush()
                    os.fsync(file.fileno())
        elif self._stop_file.exists():
            self._stop_at = int(self._stop_file.read_text() or 0)
        return 0 < self._stop_at <= self._checks

    def stop(self, step: int) -> NoReturn:
        """Ends as PREEMPTED or CANCELLED_BY_USER, as was asked."""
        reason = "CANCELLED_BY_USER" if self._word == "cancel" else "PREEMPTED"
        self.exit(reason, "told to stop", step)

    def finish(self) -> None:
        """Every step is done. Returns; the process is to end with code 0."""
        self._end("SUCCEEDED", "", self.last_step)

    def exit(self, reason: str, message: str = "", step: int = 0) -> NoReturn:
        self._end(reason, message, step)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_EXIT_CODES.get(reason, 71))

    def _end(self, reason: str, message: str, step: int) -> None:
        if self._spool is not None:
            self._append("exit", reason=reason, message=message, step=step)
            os.fsync(self._spool.fileno())
            self._spool = None

    def _append(self, kind: str, **fields: Any) -> None:
        self._sequence += 1
        text = json.dumps({"seq": self._sequence, "kind": kind, **fields}, allow_nan=False)
        data = text.encode()
        line = b"%08x %s\n" % (zlib.crc32(data), data)
        while line:
            line = line[self._spool.write(line):]

    def _verified(self, start: Dict[str, Any]) -> Path:
        owner = self.run_dir
        if start.get("run_id"):
            owner = self.run_dir.parent / f"run-{start['run_id']}"
        path: Path = owner / start["file"]
        try:
            found = f"{_crc_of(path)[0]:08x}"
        except OSError as error:
            self.exit("CHECKPOINT", str(error))
        if found != start["hash"]:
            self.exit("CHECKPOINT", f"{path} has CRC-32 {found}, registered is {start['hash']}")
        return path

    def _listen(self) -> None:
        """The lease: lines "lease BOOT_ID ASKED DEADLINE LEFT_MS" (nanoseconds of CLOCK_BOOTTIME on
        that boot), "preempt", "cancel". Its end, or a deadline that passes, ends this process
        without another write."""
        timer: Optional[threading.Timer] = None
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        for line in sys.stdin:
            words = line.split()
            if len(words) >= 5 and words[0] == "lease":
                left_ns = int(words[4]) * 1_000_000
                if words[1] == boot_id:
                    left_ns = int(words[3]) - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
                if timer:
                    timer.cancel()
                # Whoever reads late finds old lines before the newest, and may be slow between them.
                timer = threading.Timer(max(left_ns / 1e9, 1.0) if left_ns > 0 else 5.0, os._exit,
                                        [_EXIT_CODES["LEASE_LOST"]])
                timer.daemon = True
                timer.start()
            elif words and words[0] in ("preempt", "cancel"):
                self._word = words[0]
        if timer:  # by hand, without an agent, there was never a lease
            os._exit(_EXIT_CODES["LEASE_LOST"])

    def _crashed(self, kind: Any, error: BaseException, trace: Any) -> None:
        traceback.print_exception(kind, error, trace)
        reason = ("OOM" if isinstance(error, MemoryError) or "OutOfMemory" in kind.__name__ else
                  "DISK_FULL" if isinstance(error, OSError) and error.errno == 28 else "BUG")
        self.exit(reason, f"{kind.__name__}: {error}", 0)


def _crc_of(path: Path, sync: bool = False) -> "tuple[int, int]":
    """CRC-32 and bytes of a file; of a folder over its files in order, each after its name."""
    files = [path] if not path.is_dir() else sorted(p for p in path.rglob("*") if p.is_file())
    crc = size = 0
    for file in files:
        if file != path:
            crc = zlib.crc32(str(file.relative_to(path)).encode() + b"\0", crc)
        with open(file, "rb") as handle:
            for block in iter(lambda: handle.read(1 << 20), b""):
                crc = zlib.crc32(block, crc)
                size += len(block)
            if sync:
                os.fsync(handle.fileno())
    return crc, size
