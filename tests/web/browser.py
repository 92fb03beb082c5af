"""A real browser, driven over WebDriver with the standard library alone.

    with Browser() as browser:
        browser.open("http://127.0.0.1:7448/sweeps")
        browser.wait("document.querySelector('tbody tr')")
        assert browser.problems() == []
"""
import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

PATIENCE_S = 120  # a limit for hangs, on a busy machine


def missing():
    """Why there is no browser here; empty: there is one."""
    if not shutil.which("chromium"):
        return "chromium is not installed (Debian's package chromium)"
    if not shutil.which("chromedriver"):
        return "chromedriver is not installed (Debian's package chromium-driver)"
    return ""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Browser:
    def __init__(self, width=1280, height=900, dark=False):
        self.port = free_port()
        self.driver = subprocess.Popen(
            ["chromedriver", f"--port={self.port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     "--no-proxy-server", "--disable-background-networking", "--disable-component-update",
                     "--force-device-scale-factor=1", "--hide-scrollbars", f"--window-size={width},{height}"]
        if dark:
            arguments.append("--force-dark-mode")
        options = {"args": arguments}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        until = time.monotonic() + PATIENCE_S
        self.session = None
        while True:
            try:
                answer = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
                break
            except (ConnectionError, urllib.error.URLError):
                if time.monotonic() > until or self.driver.poll() is not None:
                    self.close()
                    raise
                time.sleep(0.1)
        self.session = f"/session/{answer['sessionId']}"
        self.ask("POST", "/timeouts", {"script": PATIENCE_S * 1000, "pageLoad": PATIENCE_S * 1000})

    def _ask(self, method, path, body=None):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", method=method,
            data=None if body is None else json.dumps(body).encode(), headers={"Content-Type": "application/json"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=PATIENCE_S + 30) as response:
                return json.load(response)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(json.load(error)["value"]["message"]) from None

    def ask(self, method, path, body=None):
        return self._ask(method, self.session + path, {} if body is None and method == "POST" else body)

    def open(self, address):
        self.ask("POST", "/url", {"url": address})

    def run(self, script, *arguments):
        """The value of a JavaScript function's body."""
        return self.ask("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def run_async(self, script, *arguments):
        """As run; the last argument of the script is the function to call with the value."""
        return self.ask("POST", "/execute/async", {"script": script, "args": list(arguments)})

    def wait(self, expression, what=None):
        """Until the expression is true; its value."""
        until = time.monotonic() + PATIENCE_S
        while True:
            value = self.run(f"return {expression}")
            if value:
                return value
            if time.monotonic() > until:
                raise AssertionError(f"did not come: {what or expression}; the page says: {self.text()[:2000]}")
            time.sleep(0.1)

    def text(self):
        return self.run("return document.body.innerText")

    def press(self, *keys):
        """Keys to whatever has the focus."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self.ask("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def size(self, width, height):
        self.ask("POST", "/window/rect", {"width": width, "height": height})

    def colours(self, scheme):
        self.ask("POST", "/goog/cdp/execute", {"cmd": "Emulation.setEmulatedMedia", "params": {
            "features": [{"name": "prefers-color-scheme", "value": scheme}]}})

    def problems(self):
        """What the console said since the last call: errors, refusals of the policy, failed requests."""
        return [entry["message"] for entry in self.ask("POST", "/se/log", {"type": "browser"})
                if entry["level"] in ("SEVERE", "WARNING")]

    def screenshot(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.ask("GET", "/screenshot")))

    def close(self):
        if self.session:
            try:
                self._ask("DELETE", self.session)
            except (OSError, RuntimeError):
                pass
        self.driver.terminate()
        self.driver.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
