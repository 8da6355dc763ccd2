"""A real headless Chromium for tests, driven by the W3C WebDriver protocol over HTTP."""

import contextlib
import json
import re
import shutil
import subprocess
import urllib.request

COMMANDS = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
MISSING = [name for name, path in COMMANDS.items() if path is None]
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--disable-dev-shm-usage",
)
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class Browser:
    """One session; elements are given by CSS selectors."""

    def __init__(self, driver_url, profile, *flags):
        self._url = driver_url
        options = {"binary": COMMANDS["chromium"]}
        options["args"] = [*_FLAGS, f"--user-data-dir={profile}", *flags]
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        session = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._url += f"/session/{session['sessionId']}"

    def _call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, method=method)
        request.add_header("Content-Type", "application/json")
        # Whatever proxy the environment names is not for this machine's own driver.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=60) as response:
            return json.load(response)["value"]

    def open(self, path):
        self.visit(path.resolve().as_uri())

    def visit(self, url):
        self._call("POST", "/url", {"url": url})

    def wait_for(self, code):
        """Until an expression of JavaScript is true; a page that never gets there has failed."""
        self.script(
            "return new Promise(done => { const look = () => "
            f"({code}) ? done() : setTimeout(look, 10); look(); }})"
        )

    def _find(self, selector):
        query = {"using": "css selector", "value": selector}
        return self._call("POST", "/element", query)[_ELEMENT]

    def click(self, selector):
        self._call("POST", f"/element/{self._find(selector)}/click", {})
        # Events that the click has queued come first.
        self.script("return new Promise(done => setTimeout(done))")

    def type(self, selector, text):
        self._call("POST", f"/element/{self._find(selector)}/value", {"text": text})

    def script(self, code):
        return self._call("POST", "/execute/sync", {"script": code, "args": []})

    def texts(self, selector):
        code = (
            f"return [...document.querySelectorAll({json.dumps(selector)})].map(e => e.innerText)"
        )
        return self.script(code)

    def complaints(self):
        """What the console says: errors of scripts, and everything the CSP refused."""
        return [entry["message"] for entry in self._call("POST", "/se/log", {"type": "browser"})]

    def screenshot(self):
        return self._call("GET", "/screenshot")

    def close(self):
        self._call("DELETE", "")


@contextlib.contextmanager
def browser(folder, *flags):
    """A browser with a fresh profile in `folder`, on a port of its own choice."""
    command = [COMMANDS["chromedriver"], "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        try:
            started = next(
                m for line in driver.stdout if (m := re.search(r"success.* on port (\d+)", line))
            )
            opened = Browser(f"http://127.0.0.1:{started[1]}", folder / "profile", *flags)
            try:
                yield opened
            finally:
                opened.close()
        finally:
            driver.terminate()
