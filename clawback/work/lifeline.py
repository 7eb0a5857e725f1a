"""Start a module so that it cannot outlive its parent: `python -m …lifeline PID MODULE ARGS`.

On Linux the kernel kills this process when the one that started it ends, however that ends.
Elsewhere a thread looks once a second whether the parent is still there. PID is the parent's: if
it is gone before the kernel was asked, the module is not started at all.
"""

import ctypes
import os
import runpy
import signal
import sys
import threading
from typing import Final

from clawback import clock

_PR_SET_PDEATHSIG: Final = 1
_LOOK_SECONDS: Final = 1.0


def main() -> None:
    """Bind this process to its parent, then be the module named on the command line."""
    parent = int(sys.argv[1])
    bind(parent)
    del sys.argv[:2]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def bind(parent: int) -> None:
    """Have this process killed when `parent` ends; ends at once if it has ended already."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl refused")
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        clock.sleep_seconds(_LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
