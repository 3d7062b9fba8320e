"""Child processes that do not outlive the server, also when it is killed with -9.

Linux only: elsewhere a child outlives a killed server and is found again by its taken port.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import IO, Final

TERM_LIMIT_S: Final = 5.0

# It runs in the child before the command: ask the kernel for SIGKILL at the parent's death (PR_SET_PDEATHSIG is 1),
# then leave if the parent died before the kernel was asked. `preexec_fn` would run in a fork of a threaded process.
_ARMED: Final = (
    "import ctypes, os, sys\n"
    "ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)\n"
    "os.getppid() == int(sys.argv[1]) or sys.exit(1)\n"
    "os.execvp(sys.argv[2], sys.argv[2:])\n"
)


def dying_with_us(command: Sequence[str]) -> list[str]:
    """Return `command` wrapped so that it is killed when the thread that starts it ends, however that happens.

    Start it from a thread that lives as long as the child shall: the kernel watches that thread, not the process.
    """
    if sys.platform != "linux":
        return list(command)
    return [sys.executable, "-I", "-S", "-c", _ARMED, str(os.getpid()), *command]


def start(
    command: Sequence[str],
    *,
    output: IO[bytes],
    errors: IO[bytes],
    folder: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a child that dies with us, in a session of its own, so that a Ctrl-C is ours to hand on.

    Its environment is ours; what we do not set is taken from `environment`.
    """
    return subprocess.Popen(
        dying_with_us(command),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        cwd=folder,
        env={**(environment or {}), **os.environ},
        start_new_session=True,
    )


def stop(child: subprocess.Popen[bytes]) -> int:
    """End a child, gently at first, and return its exit code."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(TERM_LIMIT_S)
        except subprocess.TimeoutExpired:
            child.kill()
    return child.wait()
