"""The attacks of `make torture`, in a form that takes about a minute."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from benchmarks.torture.__main__ import SHARES, SHORT
from benchmarks.torture.attack import Arena, Attack


@pytest.fixture(scope="module")
def arena(shop_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Arena:
    return Arena.of(shop_models, tmp_path_factory.mktemp("torture"), seed=1)


@pytest.mark.parametrize("attack", SHORT, ids=lambda attack: attack.__name__)
def test_nothing_is_lost(arena: Arena, attack: Attack) -> None:
    outcome = attack(arena, SHORT[attack])
    assert outcome.tries > 0
    assert outcome.checked > 0
    assert (outcome.lost, outcome.failed) == (0, 0), outcome


def test_the_shares_of_all_attacks_fill_the_time() -> None:
    assert sum(SHARES.values()) == pytest.approx(1)
    assert SHORT.keys() <= SHARES.keys()


def test_one_seed_gives_the_same_choices(shop_models: Path, tmp_path: Path) -> None:
    one, two = (Arena.of(shop_models, tmp_path, seed=7) for _ in range(2))
    assert one.random.random() == two.random.random() == random.Random(7).random()
    assert one.items[:3] == two.items[:3]
