"""What an operator can set, from the environment or the command line; nothing else reads the environment."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from recsys.core.errors import ConfigError

ENV_PREFIX = "RECSYS_"
METRICS_DIR = "PROMETHEUS_MULTIPROC_DIR"
STORE_FILE = "store.sqlite"


class Settings(BaseSettings):
    """Settings of one server; each is also an environment variable, its name in capitals after `ENV_PREFIX`.

    Attributes:
        models: folder of the bundles, with `CURRENT` in it.
        store: file of the live log; `store.sqlite` in the folder of the bundles if not given.
        placements: file of the shop's lists, TOML; it is read again whenever it changes; the lists that are built in
            if not given.
        keys: file of the callers' keys; without one no key is asked for.
        host: address to listen on; a loopback address only, unless there are keys.
        port: TCP port to listen on.
        workers: processes that answer; each maps the same bundle.
        clock: `wall` for today; `data` starts at the end of the bundle's data and runs on.
        poll_seconds: how often `CURRENT` is looked at.
        future_tolerance_seconds: how far after the clock an `as_of` may be.
        threads: threads of BLAS and OpenMP in each worker.
        cache_mb: memory of each worker for encoded answers that depend on no user; 0 for none.
        impression_sample: share of the answered lists that the live log keeps as shown, 0 to 1; 0 for none.
        impression_queue: lists of one worker that may wait to be logged; what comes beyond is dropped and counted.
        max_body_bytes: how large the body of a call may be.
        body_seconds: how long the body of a call may take to come.
        shutdown_seconds: how long running requests may take to end once a stop is asked for.
        started_at: when the server was started, seconds since 1970; it sets this itself, so that its workers' data
            clocks are one.
        logged_until: time of the latest entry of the live log by then; the server sets this itself too.
        metrics_dir: where several workers add up their figures; the server sets it itself, in the variable that
            prometheus-client reads.
    """

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, extra="forbid")

    models: Path = Path("models")
    store: Path | None = None
    placements: Path | None = None
    keys: Path | None = None
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=1, le=65_535)
    workers: int = Field(1, ge=1, le=256)
    clock: Literal["wall", "data"] = "wall"
    poll_seconds: float = Field(1.0, ge=0.01, le=3600)
    future_tolerance_seconds: int = Field(300, ge=0)
    threads: int = Field(1, ge=1)
    cache_mb: int = Field(32, ge=0)
    impression_sample: float = Field(1.0, ge=0, le=1)
    impression_queue: int = Field(20_000, ge=0)
    max_body_bytes: int = Field(2 << 20, ge=1024)
    body_seconds: float = Field(30.0, gt=0, le=3600)
    shutdown_seconds: int = Field(10, ge=1)
    started_at: float | None = None
    logged_until: float | None = None
    metrics_dir: Path | None = Field(None, validation_alias=AliasChoices("metrics_dir", METRICS_DIR))

    @field_validator("host")
    @classmethod
    def _refuse_strangers(cls, host: str, told: ValidationInfo) -> str:
        if not host or (told.data.get("keys") is None and host != "localhost" and not _is_loopback(host)):
            raise ValueError(
                "only a loopback address can be listened on without keys; make one with `recsys keys create`, and name"
                f" its file in {_variable('keys')}"
            )
        return host

    @property
    def store_path(self) -> Path:
        """Where the live log is."""
        return self.models / STORE_FILE if self.store is None else self.store

    def environment(self) -> dict[str, str]:
        """The same settings as environment variables, for worker processes."""
        values = {name: str(value) for name, value in self.model_dump(exclude_none=True).items()}
        return {METRICS_DIR if name == "metrics_dir" else _variable(name): value for name, value in values.items()}


def load_settings(**given: Any) -> Settings:
    """Settings from what is given, else from the environment, else the defaults.

    Args:
        given: fields of `Settings`; those that are None count as not given.

    Raises:
        ConfigError: naming every setting that cannot be, its value and what was expected.
    """
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        raise ConfigError("; ".join(_told(fault) for fault in error.errors())) from None


def _told(fault: Any) -> str:
    name = ".".join(map(str, fault["loc"]))
    problem = fault["msg"].removeprefix("Value error, ")
    return f"setting {name!r} is {fault['input']!r}: {problem}; set {_variable(name)} or pass it"


def _variable(name: str) -> str:
    return ENV_PREFIX + name.upper()


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
