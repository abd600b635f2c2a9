"""Dependencies that only one job needs, and that an extra of the package installs."""

from __future__ import annotations

from importlib.util import find_spec

from recsys.core.errors import ConfigError


def require_extra(extra: str, *packages: str) -> None:
    """Refuse to start a job while a package of its extra is missing.

    Args:
        extra: the name of the extra in the metadata of this package.
        packages: top-level import names.

    Raises:
        ConfigError: a package is not installed; the message has the command that installs it.
    """
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise ConfigError(f"{', '.join(missing)} is not installed; install it with: pip install 'recsys[{extra}]'")
