"""Programs that are forked from a process with the imports done: they run and end like those of `python -c`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.launcher import PRELOADED, ROOT, Process

WAIT_S = 60
ENVIRONMENT = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "RECSYS_PORT": "1"}
PROGRAMS = [
    "import os, sys; print(*sorted(os.environ.items()), os.getcwd(), os.getsid(0) == os.getpid(), *sys.argv)",
    "import sys; sys.exit(3)",
    "import sys; sys.exit('in one sentence')",
    "def fail(): raise ValueError('why')\nfail()",
    "import atexit; atexit.register(print, 'at the end'); print('before')",
    "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "import signal; signal.raise_signal(signal.SIGINT)",
    "import signal; print(*map(signal.getsignal, (signal.SIGINT, signal.SIGTERM)), signal.pthread_sigmask(0, ()))",
    "import threading; threading.Timer(0.1, print, ('by a thread',)).start()",
    "import polars as pl; print(pl.DataFrame({'a': range(9)}).lazy().group_by(pl.col('a') % 2).len().collect().height)",
]


def ended(program: str, is_forked: bool) -> tuple[int, list[str], list[str]]:
    """The exit code of a program, and the lines that it wrote, without those of tracebacks that name code."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        if is_forked:
            code = Process(program, ENVIRONMENT, out, err).wait(WAIT_S)
        else:
            words = [sys.executable, "-c", program]
            code = subprocess.run(
                words, cwd=ROOT, env=ENVIRONMENT, stdout=out, stderr=err, start_new_session=True, check=False
            ).returncode
        for file in (out, err):
            file.seek(0)
        lines = [file.read().decode().splitlines() for file in (out, err)]
    return code, lines[0], [line for line in lines[1] if not line.startswith("  ")]


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_ends_as_one_that_the_interpreter_starts(program: str) -> None:
    assert ended(program, is_forked=True) == ended(program, is_forked=False)


def test_modules_are_imported_before_a_program_starts() -> None:
    code, out, _ = ended(f"import sys; print({PRELOADED!r} & sys.modules.keys() == {PRELOADED!r})", is_forked=True)
    assert (code, out) == (0, ["True"])


def test_a_signal_reaches_a_program_until_it_has_ended(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as err:
        process = Process("import time; print('started', flush=True); time.sleep(60)", ENVIRONMENT, out, err)
        assert process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) == process.poll() == -signal.SIGTERM
        process.send_signal(signal.SIGTERM)


def test_programs_have_files_of_their_own(tmp_path: Path) -> None:
    """Neither those of the launcher nor those of other programs, which would not end with them."""
    with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as err:
        Process("import os; print(len(os.listdir('/proc/self/fd')))", ENVIRONMENT, out, err).wait(WAIT_S)
    assert (tmp_path / "out").read_text() == "4\n", "three, and that of the folder"
