from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cli.main import main

SLOW_IMPORT = "import signal, time\nprint('loading', flush=True)\ntime.sleep(20)\n"


def test_ctrl_c_while_modules_are_loaded_leaves_no_traceback(tmp_path: Path) -> None:
    """The slow module stands for numpy, polars and the others."""
    (tmp_path / "typer.py").write_text(SLOW_IMPORT)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from cli.main import main; main(['serve'])"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "loading\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert process.returncode == -signal.SIGINT
    assert (out, err) == ("", "")


def test_ctrl_c_works_as_usual_afterwards() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit):
        main(["--version"])
    assert signal.getsignal(signal.SIGINT) is before


def test_it_runs_in_any_thread() -> None:
    codes: list[object] = []

    def run() -> None:
        try:
            main(["--version"])
        except SystemExit as done:
            codes.append(done.code)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert codes == [0]
