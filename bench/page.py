#!/usr/bin/env python3
"""How long the page of `allo web` takes, in Debian's chromium: build/bin is measured.

From the moment the browser is told to go to an address until the screen with its data is painted.
Asked for: 10,000 runs in 200 ms, a curve of a million points in 300 ms.
"""
import json
import os
import pathlib
import statistics
import sys
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "tests/web"))
import browser as web  # noqa: E402
import programs as run  # noqa: E402

# Navigates inside the page, as a click does, and calls back after the frame that shows the data.
PAINTED = """
const [path, ready, done] = arguments;
const from = performance.now();
dispatchEvent(new CustomEvent("go", {detail: path}));
const look = () => {
  if (document.querySelector("#main [data-ready]")?.dataset.ready === ready) {
    requestAnimationFrame(() => setTimeout(() => done(performance.now() - from)));
  } else {
    setTimeout(look, 1);
  }
};
look();
"""


def main():
    if web.missing():
        print(f"skipped: {web.missing()}")
        return
    programs = run.Programs()
    try:
        programs.start_coordinator()
        programs.make_data()
        programs.submit(run.many_runs())
        programs.submit(run.TINY.replace("[1, 2]", "[1]"))
        programs.stop("coordinator")
        with programs.database() as db:
            (long_run,) = db.execute("SELECT min(run_id) FROM runs JOIN sweeps USING (sweep_id) WHERE name = 'tiny'").fetchone()
        programs.long_curve(long_run, 1_000_000)
        (programs.folder / "c.sock").unlink(missing_ok=True)
        programs.start_coordinator()
        page = programs.start_page().rstrip("/")
        with web.Browser() as browser:
            browser.open(page + "/workers")
            browser.wait("document.querySelector('#main [data-ready]')")
            measure(browser, "10,000 runs listed", "/sweep/many", "10000")
            measure(browser, "a curve of 1,000,000 points", "/sweep/tiny/curves?series=train", "1000000")
            for name, path in (("10,000 runs, server alone", "/api/sweep?name=many"),
                               ("1,000,000 points, server alone", "/api/curves?name=tiny&series=train&log=1&pixels=1200")):
                times, size = [], 0
                begin = cpu_s(programs)
                for _ in range(7):
                    before = time.perf_counter()
                    size = len(urllib.request.urlopen(page + path).read())
                    times.append(1000 * (time.perf_counter() - before))
                spent = {program: 1000 * (after - begin[program]) / 7 for program, after in cpu_s(programs).items()}
                report(name, times, f"; {size / 1e6:.2f} MB; CPU: coordinator {spent['coordinator']:.0f} ms, allo web {spent['page']:.0f} ms")
            print("console:", json.dumps(browser.problems()))
    finally:
        programs.close()


def cpu_s(programs):
    """CPU time that each program has had: what counts on a machine that others use too."""
    spent = {}
    for name, process in programs.running.items():
        fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        spent[name] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return spent


def measure(browser, name, path, ready):
    times = []
    for _ in range(7):
        times.append(browser.run_async(PAINTED, path, ready))
        browser.run_async(PAINTED, "/workers", "0")
    report(name, times)


def report(name, times, more=""):
    print(f"{name}: median {statistics.median(times):.0f} ms, least {min(times):.0f}, most {max(times):.0f}{more}", flush=True)


if __name__ == "__main__":
    main()
