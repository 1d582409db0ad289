import os
import signal
import threading
import time

import pytest
from filelock import FileLock, Timeout

from monai_tunevlseg.search.graceful_shutdown import GracefulShutdown


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_next_check(number):
    before = signal.getsignal(number)
    with GracefulShutdown() as shutdown:
        shutdown.raise_if_requested()
        os.kill(os.getpid(), number)
        assert shutdown.requested
        with pytest.raises(KeyboardInterrupt):
            shutdown.raise_if_requested()
    assert signal.getsignal(number) is before


def test_a_second_signal_raises_at_once():
    with GracefulShutdown():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_signal_ends_a_sleep():
    started = time.monotonic()
    with GracefulShutdown() as shutdown, pytest.raises(KeyboardInterrupt):
        timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        shutdown.sleep(60)
    assert time.monotonic() - started < 30


def test_other_threads_leave_the_signal_handlers_unchanged():
    before, seen = signal.getsignal(signal.SIGINT), []

    def enter():
        with GracefulShutdown():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_signal_ends_the_wait_for_a_lock(tmp_path):
    other = FileLock(tmp_path / "lock")
    with other, GracefulShutdown() as shutdown:
        timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt), shutdown.holding(FileLock(tmp_path / "lock")):
            pytest.fail("it was not free")
    with GracefulShutdown() as shutdown, shutdown.holding(FileLock(tmp_path / "lock")) as nothing:
        assert nothing is None
        with pytest.raises(Timeout):
            FileLock(tmp_path / "lock").acquire(timeout=0)
