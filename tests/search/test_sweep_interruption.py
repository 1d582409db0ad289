import os
import signal
import threading
import time

import pytest
from filelock import FileLock, Timeout

from monai_tunevlseg.search.interruption import Interruption


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_next_look(number):
    before = signal.getsignal(number)
    with Interruption() as interruption:
        interruption.check()
        os.kill(os.getpid(), number)
        assert interruption.requested
        with pytest.raises(KeyboardInterrupt):
            interruption.check()
    assert signal.getsignal(number) is before


def test_a_second_signal_does_not_wait():
    with Interruption():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_sleep_is_not_slept_through():
    started = time.monotonic()
    with Interruption() as interruption, pytest.raises(KeyboardInterrupt):
        timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        interruption.sleep(60)
    assert time.monotonic() - started < 30


def test_other_threads_get_no_signals_and_change_nothing():
    before, seen = signal.getsignal(signal.SIGINT), []

    def enter():
        with Interruption():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_lock_is_waited_for_until_a_signal_comes(tmp_path):
    other = FileLock(tmp_path / "lock")
    with other, Interruption() as interruption:
        timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt), interruption.holding(FileLock(tmp_path / "lock")):
            pytest.fail("it was not free")
    with Interruption() as interruption, interruption.holding(FileLock(tmp_path / "lock")) as nothing:
        assert nothing is None
        with pytest.raises(Timeout):
            FileLock(tmp_path / "lock").acquire(timeout=0)
