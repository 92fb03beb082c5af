"""`allo web` in a real browser, over the real programs: every screen with a live sweep."""
import json
import os
import re
import subprocess
import unittest
import urllib.error
import urllib.request

import browser as web
import programs as run

POLICY = "default-src 'none'"


def fetch(address, path, method="GET", body=None, **headers):
    """Status, headers and text of a plain request, as any program may send one."""
    request = urllib.request.Request(address.split("#")[0].rstrip("/") + path, method=method, data=body,
                                     headers={name.replace("_", "-"): value for name, value in headers.items()})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=run.PATIENCE_S) as response:
            return response.status, response.headers, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


@unittest.skipIf(web.missing(), web.missing())
class PageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.programs = run.Programs()
        cls.addClassCleanup(cls.programs.close)
        cls.programs.start_coordinator()
        cls.programs.make_data()
        cls.programs.submit(run.TINY)
        cls.programs.submit(run.OTHER)
        cls.page = cls.programs.start_page().rstrip("/")
        cls.browser = web.Browser()
        cls.addClassCleanup(cls.browser.close)
        # Nothing runs yet: the page must say why.
        cls.browser.open(cls.page + "/sweep/tiny")
        cls.browser.wait("document.body.innerText.includes('Nothing runs:')", "why nothing runs")
        cls.programs.start_worker()
        # The same page, not loaded again, sees the sweep come alive.
        cls.browser.wait("document.querySelector('.virtual .state.running')", "a running run on the page")

    def see(self, path, what="document.querySelector('#main [data-ready]')"):
        self.browser.problems()
        self.browser.open(self.page + path)
        return self.browser.wait(what)

    def nothing_wrong(self):
        self.assertEqual(self.browser.problems(), [])

    def wait_for_end(self, sweep="tiny"):
        self.programs.wait(lambda: all(state in ("RUN_SUCCEEDED", "RUN_FAILED") for state in re.findall(
            r'"state": "(\w+)"', self.programs.allo("runs", sweep, "--json").stdout)), f"the end of {sweep}")

    def test_sweeps_are_listed_and_searched(self):
        self.see("/", "document.querySelectorAll('tbody tr').length >= 2")
        text = self.browser.text()
        for word in ("tiny", "other", "words"):
            self.assertIn(word, text)
        self.browser.run("const s = document.querySelector('input[type=search]'); s.value = 'oth'; s.dispatchEvent(new Event('input'))")
        self.browser.wait("document.querySelectorAll('tbody tr').length === 1")
        self.nothing_wrong()

    def test_a_sweep_has_its_grid_and_its_runs_and_a_click_filters(self):
        self.see("/sweep/tiny")
        self.assertEqual(self.browser.run("return document.querySelectorAll('.heat button').length"), 9)
        self.assertEqual(self.browser.run("return document.querySelectorAll('.virtual tbody tr:not(.spacer)').length"), 6)
        self.browser.run("document.querySelector('.heat button').click()")
        self.browser.wait("document.querySelectorAll('.virtual tbody tr:not(.spacer)').length === 2")
        # The keyboard: the table has the focus, an arrow selects, Enter opens the run.
        self.browser.run("document.querySelector('.virtual').focus()")
        self.browser.press("\ue015", "\ue007")
        self.browser.wait("location.pathname.startsWith('/run/')")
        self.browser.wait("document.body.innerText.includes('of sweep')")
        self.browser.run("history.back()")
        self.browser.wait("location.pathname === '/sweep/tiny' && document.querySelector('.heat button')")
        self.nothing_wrong()

    def test_a_run_that_failed_is_shown_with_its_reason(self):
        self.programs.submit(run.BROKEN)
        self.see("/sweep/broken", "document.querySelector('.heat button.failed')")
        self.assertIn("1 of 1 runs failed", self.browser.text())
        self.assertIn("DIVERGED", self.browser.run("return document.querySelector('.virtual tbody').innerText"))
        self.browser.run("document.querySelector('.virtual a').click()")
        self.browser.wait("location.pathname.startsWith('/run/') && document.querySelector('.note.bad')")
        self.assertIn("DIVERGED", self.browser.text())
        self.nothing_wrong()

    def test_curves_are_drawn_live(self):
        self.wait_for_end()
        points = int(self.see("/sweep/tiny/curves", "+document.querySelector('#main [data-ready]')?.dataset.ready > 0 && document.querySelector('#main [data-ready]').dataset.ready"))
        self.assertGreater(points, 30)
        drawn = self.browser.run(
            "const c = document.querySelector('canvas'); const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
            "let n = 0; for (let i = 0; i < d.length; i += 4) if (d[i + 3] > 0 && Math.max(d[i], d[i + 1], d[i + 2]) - Math.min(d[i], d[i + 1], d[i + 2]) > 40) ++n; return n")
        self.assertGreater(drawn, 500, "coloured pixels of the curves")
        self.browser.run("document.querySelector('.chart').focus()")
        self.browser.press("\ue014")
        self.browser.wait("!document.querySelector('.tip').classList.contains('hidden')")
        self.assertIn("FLOPs", self.browser.run("return document.querySelector('.tip').innerText"))
        self.nothing_wrong()

    def test_the_fit_says_its_verdict_first_and_a_slider_gives_the_optimum(self):
        self.wait_for_end()
        self.see("/sweep/tiny/fit")
        self.browser.wait("document.querySelector('.figure img')?.naturalWidth > 0 || document.querySelector('.note')", "the picture, or why there is none")
        if self.browser.run("return !!document.querySelector('input[type=range]')"):
            before = self.browser.run("return document.querySelector('.facts').innerText")
            self.browser.run("document.querySelector('input[type=range]').focus()")
            self.browser.press("\ue014")
            self.browser.wait(f"document.querySelector('.facts').innerText !== {json.dumps(before)}")
            self.assertIn("what was trained", self.browser.text())
        self.nothing_wrong()

    def test_two_sweeps_are_compared(self):
        self.wait_for_end()
        self.wait_for_end("other")
        self.see("/compare?a=tiny&b=other")
        self.assertIn("learning_rate: 1e-3", self.browser.run("return [...document.querySelectorAll('pre .added')].map((line) => line.innerText).join()"))
        self.assertIn("At ", self.browser.text())
        self.browser.wait("!document.body.innerText.includes('Fitting both')", "the comparison of the laws, or why there is none")
        self.nothing_wrong()

    def test_a_run_has_its_curve_attempts_and_run_json(self):
        self.wait_for_end()
        self.see("/run/1", "+document.querySelector('#main [data-ready]')?.dataset.ready > 0")
        self.assertTrue(self.browser.run("return document.querySelector('.timeline rect') !== null"))
        self.nothing_wrong()
        status, headers, text = fetch(self.page, "/api/run.json?id=1")
        self.assertEqual(status, 200)
        self.assertIn('"learning_rate": 0.003', json.dumps(json.loads(text)))

    def test_workers_have_their_slots(self):
        self.see("/workers")
        self.assertEqual(self.browser.run("return document.querySelectorAll('.slot').length"), 2)
        self.nothing_wrong()

    def test_narrow_dark_and_without_a_mouse(self):
        try:
            self.browser.size(420, 800)
            self.browser.colours("dark")
            for path in ("/", "/sweep/tiny", "/sweep/tiny/curves", "/workers", "/run/1"):
                self.see(path, "document.querySelector('#main h1')")
                width, inner = self.browser.run("return [document.documentElement.scrollWidth, innerWidth]")
                self.assertLessEqual(width, inner, f"{path} is wider than a narrow window")
                ground = self.browser.run("return getComputedStyle(document.body).backgroundColor")
                self.assertLess(max(map(int, re.findall(r"\d+", ground)[:3])), 60, "a dark ground")
            # Tab reaches every link and button in order, beginning with the skip link.
            self.see("/", "document.querySelector('tbody tr')")
            self.browser.press("\ue004")
            self.assertEqual(self.browser.run("return document.activeElement.className"), "skip")
            self.nothing_wrong()
        finally:
            self.browser.colours("light")
            self.browser.size(1280, 900)

    def test_ten_thousand_runs_are_listed_whole(self):
        self.programs.submit(run.many_runs())
        self.see("/sweep/many", "document.querySelector('#main [data-ready]')?.dataset.ready === '10000'")
        self.assertLess(self.browser.run("return document.querySelectorAll('.virtual tbody tr').length"), 120)
        self.assertEqual(self.browser.run("return document.querySelectorAll('.virtual tbody tr')[5].offsetHeight"), 30, "as table.js reckons")
        self.browser.run("document.querySelector('.virtual').focus()")
        self.browser.press("\ue010")
        self.browser.wait("[...document.querySelectorAll('.virtual tbody tr')].some((row) => row.getAttribute('aria-selected') === 'true')")
        self.nothing_wrong()
        # What a change costs: a line with the runs that changed, not ten thousand.
        revision = json.loads(fetch(self.page, "/api/sweep?name=many")[2])["revision"]
        last = json.loads(fetch(self.page, "/api/sweep?name=many")[2])["runs"]["run_id"][-1]
        self.programs.allo("cancel", "many", "--run", str(last))
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{self.page}/api/changes?name=many&revision={revision}", timeout=run.PATIENCE_S) as changes:
            for line in changes:
                if line.strip():
                    message = json.loads(line)
                    break
        self.assertFalse(message["whole"])
        self.assertIn(last, message["runs"]["run_id"])
        self.assertLess(len(message["runs"]["run_id"]), 100)
        self.programs.allo("cancel", "many")

    def test_every_answer_has_the_policy_and_no_other_host_is_named(self):
        for path in ("/", "/sweep/tiny", "/static/app.js", "/static/uPlot.iife.min.js", "/api/sweeps", "/api/none", "/none"):
            _, headers, _ = fetch(self.page, path)
            self.assertIn(POLICY, headers["Content-Security-Policy"], path)
            self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
        document = fetch(self.page, "/")[2]
        self.assertNotIn("http", document.replace("http-equiv", ""))
        # The policy holds: a script that did not come from this server does not run.
        self.see("/", "document.querySelector('tbody tr')")
        self.browser.run("const s = document.createElement('script'); s.textContent = 'window.broken = true'; document.body.append(s);"
                         "const b = document.createElement('b'); b.setAttribute('onclick', 'window.broken = true'); document.body.append(b); b.click()")
        self.assertFalse(self.browser.run("return window.broken === true"))
        self.browser.problems()

    def test_a_rebound_name_and_another_site_are_refused(self):
        self.assertEqual(fetch(self.page, "/", Host="evil.example")[0], 403)
        self.assertEqual(fetch(self.page, "/api/sweeps", Host="evil.example:80")[0], 403)
        self.assertEqual(fetch(self.page, "/api/sweeps", Origin="http://evil.example")[0], 403)
        self.assertEqual(fetch(self.page, "/api/sweeps", Sec_Fetch_Site="cross-site")[0], 403)
        self.assertEqual(fetch(self.page, "/api/sweeps")[0], 200)

    def test_read_only_changes_nothing(self):
        before = fetch(self.page, "/api/sweep?name=tiny")[2]
        for path in ("cancel", "retry", "preempt", "drain", "label"):
            status, _, text = fetch(self.page, f"/api/{path}", "POST", b'{"name": "tiny"}', Origin=self.page)
            self.assertEqual(status, 403, text)
            self.assertIn("read-only", text)
        states = lambda text: json.loads(text)["runs"]["state"]
        self.assertNotIn("cancelled", states(before) + states(fetch(self.page, "/api/sweep?name=tiny")[2]))

    def test_changes_where_they_are_allowed(self):
        base = self.programs.start_page("--allow-changes", name="changing").rstrip("/")
        body = b'{"name": "other", "run_ids": []}'
        self.assertEqual(fetch(base, "/api/retry", "POST", body)[0], 403)
        self.assertEqual(fetch(base, "/api/retry", "POST", body, Origin="http://evil.example")[0], 403)
        status, _, text = fetch(base, "/api/retry", "POST", body, Origin=base)
        self.assertEqual((status, json.loads(text)), (200, {"retried": 0}))
        for wrong in (b"[]", b"{", b'{"name": 3}', b'{"name": "other", "run_ids": ["x"]}'):
            self.assertEqual(fetch(base, "/api/retry", "POST", wrong, Origin=base)[0], 400, wrong)
        self.browser.problems()
        self.browser.open(base + "/sweep/tiny")
        self.browser.wait("[...document.querySelectorAll('button')].some((button) => button.innerText === 'Cancel')")
        self.nothing_wrong()
        self.programs.stop("changing")

    def test_tags_note_and_archive_are_shown_searched_and_changed(self):
        base = self.programs.start_page("--allow-changes", name="labels").rstrip("/")
        status, _, text = fetch(base, "/api/label", "POST", b'{"name": "other", "add_tags": ["paper"], "note": "<b>odd</b>", "archived": true}', Origin=base)
        self.assertEqual(status, 200, text)
        for wrong, word in ((b"{", "body is"), (b'{"name": "other", "colour": 1}', "colour"), (b'{"name": "other", "add_tags": ["a b"]}', "not a tag")):
            status, _, text = fetch(base, "/api/label", "POST", wrong, Origin=base)
            self.assertEqual(status, 400, text)
            self.assertIn(word, text)
        self.browser.problems()
        self.browser.open(base + "/sweeps")
        self.browser.wait("[...document.querySelectorAll('tbody a')].some((a) => a.innerText === 'tiny')")
        self.assertNotIn("other", self.browser.run("return document.querySelector('tbody').innerText"))
        self.browser.run("document.querySelector('input[type=checkbox]').click()")
        self.browser.wait("[...document.querySelectorAll('tbody a')].some((a) => a.innerText === 'other')")
        self.browser.run("[...document.querySelectorAll('button.tag')].find((tag) => tag.innerText === 'paper').click()")
        self.browser.wait("document.querySelectorAll('tbody tr').length === 1")
        self.assertIn(run.user(), self.browser.run("return document.querySelector('tbody').innerText"))
        # On the sweep's own screen they are changed, and what another client changes is seen.
        self.browser.open(base + "/sweep/other")
        self.browser.wait("document.querySelector('[aria-label=Note]')?.value === '<b>odd</b>'")
        self.browser.run("const tag = document.querySelector('[aria-label=\"New tag\"]'); tag.value = 'second'; tag.form.requestSubmit()")
        self.browser.wait("[...document.querySelectorAll('button.tag')].some((tag) => tag.innerText === 'second')")
        self.programs.allo("tag", "other", "--remove", "paper")
        self.browser.wait("![...document.querySelectorAll('button.tag')].some((tag) => tag.innerText === 'paper')")
        self.browser.run("[...document.querySelectorAll('button')].find((button) => button.innerText === 'Take out of the archive').click()")
        self.browser.wait("[...document.querySelectorAll('button')].some((button) => button.innerText === 'Archive')")
        # Read-only: shown as text.
        self.browser.open(self.page + "/sweep/other")
        self.browser.wait("document.querySelector('.said .text')?.innerText === '<b>odd</b>'")
        self.nothing_wrong()
        self.programs.stop("labels")

    def test_beyond_loopback_the_token_is_asked_for(self):
        self.programs.start("open", "allo", "web", "--listen", "0.0.0.0:0")
        address = self.programs.wait(lambda: re.search(r"open (\S+)", self.programs.log("open")), "its address").group(1)
        base, token = address.replace("0.0.0.0", "127.0.0.1").split("/#token=")
        self.assertEqual(fetch(base, "/api/sweeps")[0], 401)
        self.assertEqual(fetch(base, "/api/sweeps", Authorization="Bearer x")[0], 401)
        self.assertEqual(fetch(base, "/api/sweeps", Authorization=f"Bearer {token}")[0], 200)
        # The whole address works in a browser, and the token does not stay in it.
        self.browser.problems()
        self.browser.open(f"{base}/#token={token}")
        self.browser.wait("document.querySelector('tbody tr')")
        self.assertNotIn("token", self.browser.run("return location.href"))
        self.nothing_wrong()
        self.programs.stop("open")

    @unittest.skipUnless(os.geteuid() == 0, "only root can be another user")
    def test_another_user_of_this_machine_is_refused(self):
        script = ("import urllib.request, urllib.error, sys\n"
                  "opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))\n"
                  "try: print(opener.open(sys.argv[1] + '/api/sweeps').status)\n"
                  "except urllib.error.HTTPError as error: print(error.code)\n")
        for user, status in ((None, "200"), (65534, "403")):
            answer = subprocess.run(["python3", "-c", script, self.page], user=user, capture_output=True, text=True, timeout=run.PATIENCE_S)
            self.assertEqual(answer.stdout.strip(), status, answer.stderr)

    def test_mistakes_are_answered_by_name(self):
        for path, status, word in (("/api/sweep?name=none", 404, "tiny"), ("/api/curves?name=tiny&x=hours", 400, "hours"),
                                   ("/api/curves?name=tiny&pixels=many", 400, "many"), ("/api/run?id=x", 400, "number"),
                                   ("/api/run?id=999999", 404, "999999"), ("/api/fit?name=tiny&budgets=-1", 400, "-1"),
                                   ("/api/export.csv?name=none", 404, "tiny")):
            got, _, text = fetch(self.page, path)
            self.assertEqual(got, status, f"{path}: {text}")
            self.assertIn(word, json.loads(text)["error"])
        self.see("/sweep/none", "document.querySelector('.note.bad')")
        self.assertIn("there is no sweep 'none'", self.browser.text())
        self.browser.problems()

    def test_answers_are_not_compressed_for_a_browser_of_this_machine(self):
        for path in ("/static/app.js", "/api/sweeps", "/api/curves?name=tiny", "/api/runs.csv?name=tiny"):
            status, headers, text = fetch(self.page, path, Accept_Encoding="gzip, deflate, br")
            self.assertEqual(status, 200)
            self.assertIsNone(headers["Content-Encoding"], path)
            self.assertEqual(int(headers["Content-Length"]), len(text.encode()), path)

    def test_data_come_as_files(self):
        self.wait_for_end()
        for path, first in (("/api/sweeps.csv", "sweep,dataset"), ("/api/runs.csv?name=tiny", "run_id,size"), ("/api/curves.csv?name=tiny", "run_id,size"),
                            ("/api/source.yaml?name=tiny", "name: tiny"), ("/api/export.csv?name=tiny&what=points", ""),):
            status, _, text = fetch(self.page, path)
            self.assertEqual(status, 200, text)
            self.assertTrue(text.startswith(first), text[:200])
            self.assertGreater(text.count("\n"), 2)
        self.assertEqual(fetch(self.page, "/api/source.yaml?name=tiny")[2], run.TINY)


if __name__ == "__main__":
    unittest.main()
