"""Commands that list, verify and activate bundles."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.options import DEFAULT_MODELS, AsJson, Models
from cli.output import show_json, show_lines, show_table
from recsys.core.errors import BundleError

Version = Annotated[str, typer.Argument(help="Name of a bundle, as `recsys models list` shows it.")]


def app() -> typer.Typer:
    """Build the commands of `recsys models`."""
    commands = typer.Typer(help="List, verify and activate bundles.", no_args_is_help=True)
    commands.command("list")(list_bundles)
    commands.command("verify")(verify_bundles)
    commands.command("activate")(activate_bundle)
    commands.command("rollback")(roll_back)
    return commands


def list_bundles(models: Models = DEFAULT_MODELS, as_json: AsJson = False) -> None:
    """List all bundles, the oldest first."""
    from recsys.bundles.registry import versions

    known = [_describe(models, version) for version in versions(models)]
    if as_json:
        show_json(known)
    elif known:
        show_table(tuple(known[0]), [tuple(bundle.values()) for bundle in known])
    else:
        show_lines([f"{models} has no bundle: run `recsys train` to make one"])


def verify_bundles(
    version: Annotated[str | None, typer.Argument(help="Name of a bundle.", show_default="all bundles")] = None,
    models: Models = DEFAULT_MODELS,
) -> None:
    """Check every file of one bundle, or of all, against its manifest."""
    from recsys.bundles.bundle import verify
    from recsys.bundles.registry import versions

    chosen = versions(models) if version is None else (version,)
    if not chosen:
        raise BundleError(f"{models} has no bundle: run `recsys train` to make one")
    faults = []
    for name in chosen:
        try:
            manifest = verify(models / name)
        except BundleError as error:
            faults.append(str(error))
        else:
            show_lines([f"{name} is whole: {len(manifest.files)} files"])
    if faults:
        raise BundleError("; ".join(faults))


def activate_bundle(version: Version, models: Models = DEFAULT_MODELS) -> None:
    """Verify a bundle and make it the current one; a running server loads it."""
    from recsys.bundles.registry import activate

    activate(models, version)
    show_lines([f"current: {version}"])


def roll_back(models: Models = DEFAULT_MODELS) -> None:
    """Make the previous bundle the current one again."""
    from recsys.bundles.registry import rollback

    show_lines([f"current: {rollback(models)}"])


def _describe(models: Path, version: str) -> dict[str, Any]:
    from recsys.bundles.bundle import read_manifest
    from recsys.bundles.registry import PREVIOUS, pinned, readable_version

    served = {readable_version(models): "current", readable_version(models, PREVIOUS): "previous"}
    roles: dict[str | None, str] = {**dict.fromkeys(pinned(models), "in an experiment"), **served}
    described: dict[str, Any] = {"version": version, "is": roles.get(version, "")}
    try:
        manifest = read_manifest(models / version)
    except BundleError as error:
        return described | {"created_at": None, "rows": None, "MB": None, "state": str(error)}
    megabytes = sum(path.stat().st_size for path in (models / version).iterdir()) >> 20
    rows = ", ".join(f"{count:,} {name}" for name, count in manifest.metrics.get("rows", {}).items())
    return described | {"created_at": manifest.created_at[:19], "rows": rows, "MB": megabytes, "state": "readable"}
