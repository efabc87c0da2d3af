"""A studio in a separate process, and an HTTP client for it."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


class Client:
    """Sends requests as the page does; tests override headers."""

    def __init__(self, address):
        self.host = address.split("/")[2]
        self.token = address.partition("?token=")[2]
        self.cookie = ""

    def request(self, method, path, body=None, **headers):
        """Return status, headers and body of an answer. Headers that are None are not sent."""
        connection = http.client.HTTPConnection(self.host, timeout=60)
        usual = {"Host": self.host, "Origin": f"http://{self.host}", "Cookie": self.cookie}
        sent = {**usual, **{name.replace("_", "-"): value for name, value in headers.items()}}
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in sent.items():
            for each in value if isinstance(value, list) else [value]:
                if each is not None:
                    connection.putheader(name, each)
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        if data is not None:
            connection.putheader("Content-Length", str(len(data)))
        connection.endheaders(data)
        with contextlib.closing(connection):
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()

    def log_in(self, token=None):
        """Log in with a token, and keep the cookie."""
        status, headers, answer = self.request("GET", f"/?token={token or self.token}")
        if status == 303:
            self.cookie = headers["set-cookie"].partition(";")[0]
        return status, headers, answer

    def json(self, method, path, body=None, expected=200):
        status, _, answer = self.request(method, path, body)
        assert status == expected, (status, answer)
        return json.loads(answer)

    def upload(self, data, name, role="picture"):
        return self.json("POST", f"/api/pictures?name={name}&role={role}", data)

    def session(self, **recipe):
        """Return a session with samples, and a recipe that takes a second."""
        number = self.json("POST", "/api/sessions")["id"]
        content = self.json("POST", "/api/samples/coffee")["id"]
        style = self.json("POST", "/api/samples/swirls")["id"]
        small = {"size": "48", "levels": "1", "evaluations": "2", "precision": "float32"}
        changes = {
            "photograph": content,
            "paintings": [{"picture": style, "share": 1, "scale": 1}],
            "recipe": {**small, "style_loss": "gram", **recipe},
        }
        return self.json("PATCH", f"/api/sessions/{number}", changes)

    def until(self, number, *states, seconds=120):
        """Return a job when it has one of these states."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            job = self.json("GET", f"/api/works/{number}")
            if job["state"] in states:
                return job
            time.sleep(0.1)
        raise AssertionError(f"{number} is still {job['state']}: {job}")


class Server:
    """``impasto studio`` in a separate process."""

    def __init__(self, folder: Path, *options: str) -> None:
        command = [sys.executable, "-m", "impasto", "studio", str(folder), "--no-browser"]
        self.process = subprocess.Popen(
            [*command, *(options or ("--port", "0"))], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout
        self.address = self.process.stdout.readline().strip()
        assert self.address.startswith("http://127.0.0.1:"), self.address

    @property
    def port(self):
        return int(self.address.split("/")[2].partition(":")[2])

    def client(self):
        made = Client(self.address)
        for _ in range(100):
            try:
                status, _, answer = made.log_in()
            except ConnectionRefusedError:
                time.sleep(0.1)
            else:
                assert status == 303, answer
                return made
        raise AssertionError("the server does not answer")

    def end(self, number: int = signal.SIGTERM) -> int:
        """Stop the server, and return its exit status."""
        if self.process.poll() is None:
            os.kill(self.process.pid, number)
        if self.process.stdout:
            self.process.stdout.close()
        return self.process.wait(30)
