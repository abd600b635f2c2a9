"""The entry point of the `recsys` command, which a Ctrl-C ends quietly while its modules are loaded."""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; see `cli.app.run`.

    Args:
        arguments: words after `recsys`; None for those of the process.
    """
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, signal.SIG_DFL) if is_main else None
    try:
        from cli.app import run
    finally:
        if is_main:
            signal.signal(signal.SIGINT, before)
    run(arguments)
