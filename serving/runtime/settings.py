"""The server's settings, from the environment or the command line; nothing else reads the environment."""

from __future__ import annotations

import re
from datetime import UTC
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AliasChoices, Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from recsys.bundles.registry import LIVE_LOG, PLACEMENTS_FILE
from recsys.bundles.variant_bundles import MAX_VARIANT_BUNDLES
from recsys.core.errors import ConfigError
from recsys.core.timestamps import EARLIEST_EVENT, parse_iso, to_seconds
from recsys.eventlog.opening import LogLocation, is_database
from serving.runtime.traces import CONSOLE

ENV_PREFIX = "RECSYS_"
METRICS_DIR = "PROMETHEUS_MULTIPROC_DIR"
KEY_COUNTS: Final = "key_counts.bin"

_ENDPOINT: Final = re.compile(r"https?://[^\s/@]+/\S*")
_ORIGIN: Final = re.compile(r"https?://[a-z0-9.\-\[\]:]+")


class Settings(BaseSettings):
    """Settings of one server; each is also an environment variable: its name in capitals after `ENV_PREFIX`.

    The description, the range and the default of a setting are on its field.
    """

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, extra="forbid")

    models: Path = Field(Path("models"), description="Folder of the bundles, with `CURRENT` in it.")
    shops: Path | None = Field(
        None,
        description="Folder with a folder for each of many shops, which are then served by host or key; `models` and"
        " the other files of one shop are not used.",
    )
    shop_domain: str = Field(
        "", description="With `shops`: `NAME.domain` is a host of the shop of that name; none if not given."
    )
    max_open_shops: int = Field(
        200,
        ge=1,
        le=100_000,
        description="With `shops`: shops that are kept open; the least recently called ones are closed.",
    )
    store: str | Path | None = Field(
        None,
        description="The live log: a file, or the address of a PostgreSQL database, `postgresql://user@host/name`;"
        f" `{LIVE_LOG}` in the folder of the bundles if not given.",
        repr=False,
    )
    state: Literal["files", "database"] = Field(
        "files",
        description="Where keys, placements with their drafts and audit log, and experiments are: in files, or"
        " `database`, that of the live log, except those for which a file is given. There, keys are required.",
    )
    placements: Path | None = Field(
        None,
        description="TOML file of the shop's placements, read again after each change; if not given,"
        f" `{PLACEMENTS_FILE}` in the folder of the bundles, and the built-in placements without that file.",
    )
    experiments: Path | None = Field(
        None,
        description="TOML file of the shop's experiments, read again after each change of it or of its states; no"
        " experiments if not given.",
    )
    max_variant_bundles: int = Field(
        MAX_VARIANT_BUNDLES,
        ge=0,
        le=16,
        description="Bundles that the variants of all running experiments may name together; each takes as much memory"
        " as the current one.",
    )
    plan: Path | None = Field(
        None, description="File `plan.json` of a push plan, which lines of `POST /v1/batch` may then ask for."
    )
    keys: Path | None = Field(None, description="File of the callers' keys; if not given, no key is required.")
    key_rate: float | None = Field(
        None,
        gt=0,
        le=1_000_000,
        description="Calls per second of each key without its own `rate`; without limit if not given.",
    )
    key_burst: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="Calls that such a key may make at once after a pause; those of one second if not given.",
    )
    key_quota: int | None = Field(
        None,
        ge=1,
        le=10**12,
        description="Calls per UTC day of each key without its own `quota`; without limit if not given.",
    )
    key_counts: Path | None = Field(
        None,
        description="File in which the workers count the calls of limited keys; if not given,"
        f" `{KEY_COUNTS}` beside the file of the live log. With a live log in PostgreSQL and without this file, each"
        " worker counts by itself, from its start.",
    )
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Origins, such as `https://shop.example`, whose pages may ask for lists and send events from the"
        " browser; several are separated by commas.",
    )
    demo_shop: bool = Field(
        False, description="Whether `/demo-shop` is a small shop made of the catalog and the widget; not with keys."
    )
    item_fields: Annotated[tuple[str, ...], NoDecode] = Field(
        ("image", "image_link", "image_url", "link", "url"),
        description="The shop's own columns of items that lists may return with `fields`, besides those of the items"
        " table, separated by commas. Lists can be read by everybody: leave out what shoppers should not see.",
    )
    host: str = Field(
        "127.0.0.1", description="Address to listen on; a loopback address only, unless there is a file of keys."
    )
    port: int = Field(8000, ge=1, le=65_535, description="TCP port to listen on.")
    traces: str = Field(
        "",
        description="Where spans of calls are sent to: the URL of an OTLP endpoint over HTTP, such as"
        " `http://127.0.0.1:4318/v1/traces`, or `console` for standard error; nowhere if not given. Needs"
        " `recsys[otel]`.",
    )
    workers: int = Field(1, ge=1, le=256, description="Worker processes; they share the memory of the bundle.")
    clock: Literal["wall", "data"] = Field(
        "wall",
        description="`wall` for the machine's time; `data` for a clock that starts at the end of the bundle's data.",
    )
    poll_seconds: float = Field(1.0, ge=0.01, le=3600, description="Interval at which `CURRENT` is read.")
    future_tolerance_seconds: int = Field(
        300, ge=0, description="How far after the server's time an `as_of`, or an event, may be."
    )
    earliest_event: str = Field(
        str(EARLIEST_EVENT.date()),
        description="The earliest time that an event may have, such as the opening of the shop.",
    )
    threads: int = Field(1, ge=1, description="Threads of BLAS and OpenMP in each worker.")
    cache_mb: int = Field(
        32,
        ge=0,
        description="Memory of each worker for encoded responses that depend on no user; 0 disables the cache.",
    )
    personal_cache_mb: int = Field(
        8,
        ge=0,
        description="Memory of each worker for encoded responses to users, which are given again within a minute while"
        " nothing about the user has changed; 0 disables the cache.",
    )
    impression_sample: float = Field(
        1.0, ge=0, le=1, description="Share of the returned lists that the live log records as impressions."
    )
    impression_queue: int = Field(
        20_000, ge=0, description="Lists of one worker that may wait to be recorded; more are dropped and counted."
    )
    keep_events_days: float | None = Field(
        None,
        gt=0,
        le=18_250,
        description="Days after which events are removed from the live log; if not given, they stay until `recsys store"
        " prune`.",
    )
    keep_impressions_days: float | None = Field(
        None,
        gt=0,
        le=18_250,
        description="Days after which impressions are removed from the live log; if not given, they stay until"
        " `recsys store prune`.",
    )
    max_body_bytes: int = Field(2 << 20, ge=1024, description="Largest body of a call, in bytes.")
    in_flight_mb: int = Field(
        16,
        ge=8,
        le=1_000_000,
        description="Memory of each worker for requests that are being received or answered, all together; more is"
        " refused with 503. Three quarters of it are for requests over 16 KiB.",
    )
    real_words: tuple[str, ...] = Field(
        (),
        description="Words such as `null` that are ids or values of this shop, as a JSON array; otherwise they stand"
        " for an empty field, as in `recsys ingest --real-word`.",
    )
    body_seconds: float = Field(30.0, gt=0, le=3600, description="How long the body of a call may take to arrive.")
    queue_ms: float = Field(
        250.0,
        gt=0,
        le=60_000,
        description="How long a request for a list may wait for its turn before it is refused with 503, in"
        " milliseconds; counts while there are more than `patient_connections`.",
    )
    patient_connections: int = Field(
        72,
        ge=0,
        description="Open connections of the server up to which every request for a list waits for its turn, however"
        " long; with more of them, `queue_ms` counts.",
    )
    hang_seconds: float = Field(
        30.0,
        gt=0,
        le=3600,
        description="A worker that does not answer its parent is replaced once it has used this much processor time, or"
        " none at all for this long; a slow machine alone is no reason.",
    )
    shutdown_seconds: int = Field(
        10, ge=1, description="How long running requests may take to end after a stop signal."
    )
    page_key: str | None = Field(
        None,
        min_length=16,
        repr=False,
        description="Secret that page tokens are sealed with. If not given, a live log in a database has one for all"
        " servers, else each start makes one; set one where tokens should outlive a restart.",
    )
    started_at: float | None = Field(
        None, description="Start of the server, seconds since 1970; the server sets it for its workers' data clocks."
    )
    logged_until: float | None = Field(
        None,
        description="Time of the live log's latest entry at the start, seconds since 1970; the server sets it for its"
        " workers.",
    )
    metrics_dir: Path | None = Field(
        None,
        validation_alias=AliasChoices("metrics_dir", METRICS_DIR),
        description="Folder in which several workers add up their metrics; the server sets it, in the variable that"
        " prometheus-client reads.",
    )

    @field_validator("store")
    @classmethod
    def _path_of_file(cls, given: str | Path | None) -> str | Path | None:
        return Path(given) if isinstance(given, str) and not is_database(given) else given

    @field_validator("allowed_origins", "item_fields", mode="before")
    @classmethod
    def _split(cls, given: Any) -> Any:
        return tuple(filter(None, map(str.strip, given.split(",")))) if isinstance(given, str) else given

    @field_validator("allowed_origins")
    @classmethod
    def _refuse_patterns(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"{origin!r} is not an origin: expected scheme, host and, where it is not the usual one, port, in"
                    " lower case, such as https://shop.example"
                )
        return origins

    @field_validator("host")
    @classmethod
    def _refuse_open_address(cls, host: str, info: ValidationInfo) -> str:
        is_guarded = info.data.get("keys") is not None or info.data.get("shops") is not None
        is_guarded = is_guarded or info.data.get("state") == "database"
        if not host or (not is_guarded and not is_loopback(host)):
            raise ValueError(
                "only a loopback address can be listened on without keys; make one with `recsys keys create`, and set"
                f" {variable_of('keys')} to its file"
            )
        return host

    @field_validator("traces")
    @classmethod
    def _refuse_other_targets(cls, target: str) -> str:
        if target not in {"", CONSOLE} and not _ENDPOINT.fullmatch(target):
            raise ValueError(f"expected {CONSOLE!r}, or a URL such as http://127.0.0.1:4318/v1/traces")
        return target

    @field_validator("earliest_event")
    @classmethod
    def _refuse_unreadable_time(cls, text: str) -> str:
        parse_iso(text, UTC)
        return text

    @model_validator(mode="after")
    def _refuse_shop_with_keys(self) -> Self:
        if self.demo_shop and (self.keys is not None or self.state == "database"):
            raise ValueError("the demo shop calls the API without a key: leave out 'demo_shop' or the keys")
        return self

    @model_validator(mode="after")
    def _refuse_workers_of_many_shops(self) -> Self:
        if self.shops is not None and self.workers > 1:
            raise ValueError(
                f"setting 'workers' is {self.workers}: one process serves many shops; start several servers over"
                " folders with some of the shops each"
            )
        if self.shops is not None and self.state == "database":
            raise ValueError("setting 'state' is 'database': many shops have files in their folders; leave it out")
        return self

    @model_validator(mode="after")
    def _refuse_body_without_room(self) -> Self:
        if self.max_body_bytes > self.in_flight_mb << 19:
            raise ValueError(
                f"setting 'max_body_bytes' is {self.max_body_bytes}: expected at most half of 'in_flight_mb', which is"
                f" {self.in_flight_mb}; set {variable_of('in_flight_mb')} to at least"
                f" {(self.max_body_bytes >> 19) + 1}"
            )
        return self

    @property
    def earliest_second(self) -> int:
        """The earliest time that an event may have, seconds since 1970."""
        return to_seconds(parse_iso(self.earliest_event, UTC))

    @property
    def log_location(self) -> LogLocation:
        """Where the live log is."""
        return self.models / LIVE_LOG if self.store is None else self.store

    @property
    def counts_path(self) -> Path | None:
        """The file that counts the calls of limited keys, None to count in the memory of each worker."""
        location = self.log_location
        beside = location.with_name(KEY_COUNTS) if isinstance(location, Path) else None
        return self.key_counts or beside

    @property
    def drafts_folder(self) -> Path:
        """The folder of drafts of placements and of the audit log: that of the live log's file, else of the bundles."""
        location = self.log_location
        return location.parent if isinstance(location, Path) else self.models

    @property
    def placements_path(self) -> Path:
        """The file of placements, which need not exist if it is not given."""
        return self.models / PLACEMENTS_FILE if self.placements is None else self.placements

    @property
    def placements_file(self) -> Path | None:
        """The file of placements; None without one, for the built-in placements."""
        is_missing = self.placements is None and not self.placements_path.is_file()
        return None if is_missing else self.placements_path


class GivenSettings(Settings):
    """Settings that no variable of the environment changes: those of one shop of many."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return what the settings are read from: only what is given."""
        return (init_settings,)


def load_settings(kind: type[Settings] = Settings, /, **given: Any) -> Settings:
    """Return the settings as given, else from the environment, else the defaults.

    Args:
        kind: `GivenSettings` for settings that are not read from the environment.
        given: fields of `Settings`; None counts as not given.

    Raises:
        ConfigError: names every invalid setting, its value and what was expected.
    """
    try:
        return kind(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        raise ConfigError("; ".join(map(_message, error.errors()))) from None


def _message(fault: Any) -> str:
    name = ".".join(map(str, fault["loc"]))
    problem = fault["msg"].removeprefix("Value error, ")
    if not name:
        return problem
    return f"setting {name!r} is {fault['input']!r}: {problem}; set {variable_of(name)} or pass it"


def variable_of(name: str) -> str:
    """Return the environment variable of a setting."""
    return METRICS_DIR if name == "metrics_dir" else ENV_PREFIX + name.upper()


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
