"""Commands over the folder of many shops: its list, and the training of all of them, one after the other."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cli.options import AsJson, wall_clock
from cli.output import progress, show_json, show_table, tell
from recsys.core.errors import ConfigError, RecsysError

if TYPE_CHECKING:
    from serving.shops.folders import Shop

DATA: Final = "data"
CONFIG: Final = "recsys.toml"
FAILED: Final = 1
LISTED: Final = ("shop", "hosts", "bundle", "tables", "problem")
TRAINED: Final = ("shop", "result", "bundle", "seconds")

Root = Annotated[Path, typer.Argument(metavar="DIR", help="Folder with a folder for each shop.")]


def app() -> typer.Typer:
    """Build the commands of `recsys shops`."""
    commands = typer.Typer(help="List and train many shops; `recsys serve --shops` serves them.", no_args_is_help=True)
    commands.command("list")(list_shops)
    commands.command("train")(train)
    return commands


def list_shops(root: Root, as_json: AsJson = False) -> None:
    """List the shops: their hosts, current bundles and tables, and what is wrong with a folder."""
    from recsys.bundles.registry import current_version

    shops, refused = _shops(root)
    rows = [
        (
            shop.name,
            ", ".join(shop.hosts),
            current_version(shop.models) or "",
            "yes" if _has_tables(shop) else "no",
            refused.get(shop.name, ""),
        )
        for shop in shops
    ]
    rows += [(name, "", "", "", why) for name, why in refused.items() if name not in {shop.name for shop in shops}]
    if as_json:
        show_json([dict(zip(LISTED, row, strict=True)) for row in rows])
    else:
        show_table(LISTED, rows)


def train(
    root: Root,
    only: Annotated[str, typer.Option("--only", help="Names of shops, with commas between.", show_default="all")] = "",
    always: Annotated[bool, typer.Option("--always", help="Train shops of which nothing has changed, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train each shop that has tables in `data/`, one after the other; a shop that fails stops no other.

    Settings of the models are read from `recsys.toml` of the shop, if there is one. The command ends with 1 if any shop
    has failed, or its new bundle was refused by the gate; each of these keeps its current bundle.
    """
    shops, refused = _shops(root)
    names = [name.strip() for name in only.split(",") if name.strip()]
    chosen = _chosen(shops, refused, names)
    known = {shop.name for shop in shops}
    rows = [(name, f"refused: {why}", "", 0.0) for name, why in refused.items() if name not in known and not names]
    for shop in chosen:
        if not (shop.folder / DATA).is_dir():
            continue
        began = time.monotonic()
        tell(f"shop {shop.name}")
        result, version = _train(shop, if_changed=not always)
        rows.append((shop.name, result, version, round(time.monotonic() - began, 1)))
    if as_json:
        show_json([dict(zip(TRAINED, row, strict=True)) for row in rows])
    else:
        show_table(TRAINED, rows)
    if any(result not in {"trained", "up to date"} for _, result, *_ in rows):
        raise typer.Exit(FAILED)


def _train(shop: Shop, *, if_changed: bool) -> tuple[str, str]:
    """Train one shop; return what became of it, and its current bundle."""
    from recsys.bundles.registry import current_version
    from training.config import read_config
    from training.train import train as run

    try:
        config = shop.folder / CONFIG
        settings = read_config(config if config.is_file() else None)
        with progress() as on_progress:
            report = run(
                shop.folder / DATA,
                shop.models,
                settings.engine,
                now=wall_clock(),
                if_changed=if_changed,
                gate=settings.gate,
                progress=on_progress,
            )
    except (RecsysError, OSError) as error:
        return f"failed: {error}", current_version(shop.models) or ""
    result = report.refused or ("trained" if report.is_new else "up to date")
    return result, current_version(shop.models) or ""


def _shops(root: Path) -> tuple[list[Shop], dict[str, str]]:
    """Return the shops by name, and what is wrong with others.

    Raises:
        ConfigError: there is no such folder.
    """
    from serving.runtime.settings import GivenSettings, load_settings
    from serving.shops.folders import ShopFolders

    if not root.is_dir():
        raise ConfigError(f"the folder of shops {root} does not exist: make it, with a folder for each shop")
    folders = ShopFolders(load_settings(GivenSettings, shops=root))
    folders.refresh()
    return [folders.shops[name] for name in sorted(folders.shops)], dict(folders.refused)


def _chosen(shops: Sequence[Shop], refused: Mapping[str, str], names: Sequence[str]) -> list[Shop]:
    known = {shop.name: shop for shop in shops}
    for name in names:
        if name not in known and name in refused:
            raise ConfigError(f"shop {name}: {refused[name]}")
        if name not in known:
            raise ConfigError(f"--only has {name!r}: expected some of {', '.join(known) or 'no shops'}")
    return [known[name] for name in names] if names else list(shops)


def _has_tables(shop: Shop) -> bool:
    return (shop.folder / DATA / "dataset.json").is_file()
