"""Ctrl-C, in processes of their own."""

import signal
import subprocess
import sys
import threading
import time

import pytest

from impasto.pipeline import interrupts
from tests import signals

BEGIN = """
import os, signal, sys, time
from impasto.pipeline import interrupts

def press(number=signal.SIGINT):
    os.kill(os.getpid(), number)

def say():
    print("stopping", flush=True)

def steps(count, seconds):
    for number in range(count):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(0.01)
        yield number
"""


def run(code, **more):
    # Under nohup, for one, all tests would run with SIGHUP ignored.
    more = {"preexec_fn": signals.as_usual, **more}
    return subprocess.run(
        [sys.executable, "-c", BEGIN + code], capture_output=True, text=True, timeout=30, **more
    )


def test_the_first_is_told_at_once_and_what_is_under_way_goes_on():
    done = run("""
for ended in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    before = signal.getsignal(ended)
    with interrupts.handled_interrupts(say) as heard:
        for number in heard.iterate(steps(2, 0.2)):
            if number == 0:
                press(ended)
                assert heard.stopped
            print(number, flush=True)
    assert signal.getsignal(ended) is before
""")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["stopping", "0", "1"] * 3
    assert done.stderr == ""


def test_the_second_leaves_in_the_middle_of_a_step_and_cleaning_up_is_not_interrupted():
    begun = time.monotonic()
    done = run("""
import threading
with interrupts.handled_interrupts(say, exits=True) as heard:
    for seconds in (0.3, 0.6):
        threading.Timer(seconds, press).start()
    try:
        for number in heard.iterate(steps(1, 25)):
            print("never")
    except KeyboardInterrupt:
        press()
        time.sleep(0.2)
        print("cleaned up")
""")
    assert time.monotonic() - begun < 10
    assert done.stdout.split("\n") == ["stopping", "cleaned up", ""]
    assert done.stderr == ""


@pytest.mark.slow
def test_what_does_not_leave_in_time_is_left():
    done = run("""
with interrupts.handled_interrupts(say, exits=True):
    press()
    try:
        press()
    except KeyboardInterrupt:
        time.sleep(20)
""")
    assert done.returncode == 130, done.stderr


@pytest.mark.slow
def test_a_second_that_a_finalizer_swallows_leaves_all_the_same():
    done = run("""
class Slow:
    def __del__(self):
        press()

with interrupts.handled_interrupts(say, exits=True) as heard:
    press()
    Slow()
    try:
        for number in heard.iterate(steps(1, 25)):
            print("never")
    except KeyboardInterrupt:
        print("left")
""")
    assert done.returncode in (0, 130)
    assert "never" not in done.stdout


@pytest.mark.slow
def test_a_signal_that_is_ignored_stays_ignored():
    done = run(
        """
with interrupts.handled_interrupts(say) as heard:
    press(signal.SIGHUP)
    time.sleep(0.1)
    assert not heard.stopped
""",
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_what_pulling_raises_is_raised_and_a_generator_that_is_left_is_closed():
    closed = threading.Event()

    def failing():
        try:
            yield 1
            raise ValueError("within")
        finally:
            closed.set()

    with interrupts.handled_interrupts(lambda: None) as heard:
        with pytest.raises(ValueError, match="within"):
            list(heard.iterate(failing()))
        assert closed.wait(5)
        closed.clear()
        for _ in heard.iterate(failing()):
            break
        assert closed.wait(5)


def test_an_iterator_with_a_close_method_is_closed():
    class Events:
        closed = threading.Event()

        def __iter__(self):
            return self

        def __next__(self):
            return 1

        def close(self):
            self.closed.set()

    with interrupts.handled_interrupts(lambda: None) as handler:
        for _ in handler.iterate(Events()):
            break
        assert Events.closed.wait(5)


def test_in_another_thread_nothing_is_heard():
    found, before = [], signal.getsignal(signal.SIGINT)

    def work():
        with interrupts.handled_interrupts(lambda: None) as heard:
            found.extend(heard.iterate(iter([1, 2])))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [1, 2]
    assert signal.getsignal(signal.SIGINT) is before
