from __future__ import annotations

import pytest

from recsys.core.errors import ConfigError
from training.extras import require_extra


def test_installed_packages_pass() -> None:
    require_extra("report", "matplotlib", "json")


def test_a_missing_package_is_named_with_the_command_that_installs_it() -> None:
    with pytest.raises(ConfigError, match=r"^no_such_package is not installed; .* pip install 'recsys\[report\]'$"):
        require_extra("report", "json", "no_such_package")
