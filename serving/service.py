"""What the calls of one app work with."""

from __future__ import annotations

from dataclasses import dataclass, field

from serving.clock import Clock
from serving.settings import Settings
from serving.state import State
from serving.telemetry import Telemetry
from serving.wire import Tickets


@dataclass(frozen=True)
class Service:
    """One shop's server: nothing of it is shared with another app in the same process.

    Attributes:
        settings: as started.
        clock: what time it is.
        telemetry: what is counted.
        state: the bundle in service.
        tickets: ids of answers.
    """

    settings: Settings
    clock: Clock
    telemetry: Telemetry
    state: State
    tickets: Tickets = field(default_factory=Tickets)

    @classmethod
    def of(cls, settings: Settings) -> Service:
        """A service with no bundle yet."""
        clock, telemetry = Clock(settings.clock), Telemetry(settings.metrics_dir)
        return cls(settings, clock, telemetry, State(settings, clock, telemetry))
