"""The segments of a shop as one HTML page that loads no other file."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from training.extras import require_extra
from training.report.plots import plot_calibration, plot_shares

if TYPE_CHECKING:
    from training.segment_report import SegmentReport

TEMPLATE: Final = "segments.html.jinja"


def require_page() -> None:
    """Check that the page can be written; call it before the segments are computed.

    Raises:
        ConfigError: a package of the extra is not installed.
    """
    require_extra("report", "matplotlib", "jinja2")


def write_page(report: SegmentReport, path: Path) -> None:
    """Write the page; equal segments give equal bytes.

    Args:
        report: the segments in numbers.
        path: the file.

    Raises:
        ConfigError: a package of the extra is not installed.
    """
    require_page()
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(resources.files(__package__).joinpath(TEMPLATE).read_text(encoding="utf-8"))
    path.write_text(template.render(_context(report)) + "\n", encoding="utf-8")


def _context(report: SegmentReport) -> dict[str, Any]:
    bins = report.churn["calibration"]
    return {
        "report": report,
        "shares": plot_shares({each.life_cycle: each.share for each in report.stages}) if report.stages else "",
        "calibration": plot_calibration([(each["predicted"], each["observed"]) for each in bins]) if bins else "",
    }
