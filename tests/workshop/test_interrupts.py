"""Ctrl-C, in processes of their own."""

import subprocess
import sys

import pytest

BEGIN = """
import os, signal, time
from impasto.workshop import interrupts

def press():
    os.kill(os.getpid(), signal.SIGINT)

def rest(seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.01)
"""


def run(code):
    return subprocess.run([sys.executable, "-c", BEGIN + code], capture_output=True, text=True)


def test_the_first_sets_the_event_and_says_so_and_afterwards_all_is_as_before():
    done = run("""
before = signal.getsignal(signal.SIGINT)
with interrupts.heard() as interrupted:
    assert not interrupted.is_set()
    press()
    assert interrupted.wait(5)
    rest(0.2)
assert signal.getsignal(signal.SIGINT) is before
assert signal.set_wakeup_fd(-1) == -1
""")
    assert done.returncode == 0, done.stderr
    assert done.stderr == "stopping after this evaluation; Ctrl-C again leaves at once\n"


@pytest.mark.parametrize("where", ["loop()", "Slow()"])
def test_the_second_leaves_wherever_it_comes_and_cleaning_up_is_not_interrupted(where):
    """What is raised within a finalizer is swallowed there, and has to be raised again."""
    done = run(f"""
def loop():
    press()
    rest(0.3)

class Slow:
    def __del__(self):
        loop()

try:
    with interrupts.heard() as interrupted:
        press()
        interrupted.wait(5)
        try:
            {where}
            rest(5)
        finally:
            press()
            rest(0.3)
            print("cleaned up")
except KeyboardInterrupt:
    press()
    print("left")
""")
    assert done.stdout.split("\n") == ["cleaned up", "left", ""]
    assert len(done.stderr.splitlines()) == 1


def test_what_does_not_leave_in_time_is_left():
    done = run("""
with interrupts.heard() as interrupted:
    press()
    interrupted.wait(5)
    press()
    while True:
        try:
            rest(5)
        except KeyboardInterrupt:
            pass
""")
    assert done.returncode == 130, done.stderr
