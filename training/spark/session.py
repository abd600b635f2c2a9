"""A Spark session, after a check of what it needs."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from recsys.core.errors import ConfigError
from training.extras import require_extra

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MIN_JAVA: Final = 17
INSTALL: Final = "apt-get install -y openjdk-17-jre-headless"

SETTINGS: Final = {
    "spark.app.name": "recsys train",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.driver.maxResultSize": "0",
    "spark.rdd.compress": "false",
    "spark.cleaner.periodicGC.interval": "2min",
    "spark.sql.shuffle.partitions": "4",
}
"""What the jobs rely on: results are item-sized and read piece by piece, so their sum has no limit; what a sum has
moved over the shuffle is removed when Java collects garbage, so it does so every two minutes."""


@contextmanager
def open_session(master: str, memory_mb: int, work: Path, java: str | None = None) -> Iterator[SparkSession]:
    """Open a session, and stop it at the end.

    Args:
        master: URL of the master, such as `local[2]` or `spark://host:7077`.
        memory_mb: memory of the driver's Java process, in MB; with a local master that of the executors too.
        work: folder for what Spark writes to disk with a local master; a cluster has its own.
        java: path of the Java program; the one of the search path if None.

    Raises:
        ConfigError: PySpark or Java is missing, Java is too old, or the master cannot be reached.
    """
    require_extra("spark", "pyspark")
    check_java(java)
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    is_local = master.startswith("local")
    settings = (
        SETTINGS | {"spark.driver.memory": f"{memory_mb}m"} | ({"spark.local.dir": str(work)} if is_local else {})
    )
    builder = SparkSession.builder.master(master)
    for name, value in settings.items():
        builder = builder.config(name, value)
    try:
        session = builder.getOrCreate()
    except (PySparkException, RuntimeError, OSError) as error:
        raise ConfigError(f"the Spark master {master!r} cannot be used ({error}): give its URL, or local[2]") from error
    session.sparkContext.setLogLevel("ERROR")
    if is_local:
        session.sparkContext.pythonExec = sys.executable
    try:
        yield session
    finally:
        session.stop()


def check_java(java: str | None = None) -> int:
    """Return the version of Java.

    Args:
        java: path of the program; the one of the search path if None.

    Raises:
        ConfigError: there is none, or it is older than `MIN_JAVA`; the message has the command that installs it.
    """
    program = java or shutil.which("java")
    if program is None:
        raise ConfigError(f"Spark needs Java {MIN_JAVA} or newer, and there is none; install it with: {INSTALL}")
    try:
        shown = subprocess.run([program, "-version"], capture_output=True, text=True, check=True, timeout=60).stderr  # noqa: S603
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigError(f"{program} does not run ({error}); install Java with: {INSTALL}") from error
    found = re.search(r'version "(?:1\.)?(\d+)', shown)
    version = int(found.group(1)) if found else 0
    if version < MIN_JAVA:
        raise ConfigError(
            f"{program} is Java {version or 'of an unknown version'}, Spark needs {MIN_JAVA} or newer; "
            f"install it with: {INSTALL}"
        )
    return version
