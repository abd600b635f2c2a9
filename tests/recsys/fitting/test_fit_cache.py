"""Models that several steps share: each fitted once per configuration, and the same as those of the whole fit."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from recsys.core.errors import DataError
from recsys.data.dataset import Dataset
from recsys.fitting import fit_cache
from recsys.fitting.fit import fit_models
from recsys.fitting.fit_cache import FitCache
from recsys.fitting.parts import WholeShop
from tests.recsys.same import assert_same
from tests.shop import small_config


def test_a_model_is_fitted_once_per_configuration(shop_dataset: Dataset) -> None:
    models, config = FitCache(shop_dataset, shop_dataset.end), small_config()
    assert models.als(config) is models.als(replace(config, ease=replace(config.ease, regularization=7.0)))
    assert models.als(config) is not models.als(replace(config, als=replace(config.als, regularization=7.0)))
    assert models.popularity(config) is models.popularity(config)
    ordered = replace(config, copurchase=replace(config.copurchase, order="sum", item_shrinkage=1.0))
    assert models.copurchase_counts(config) is models.copurchase_counts(ordered)
    before = models.als(config)
    models.clear()
    assert models.als(config) is not before


def test_a_fit_with_shared_models_equals_one_without(shop_dataset: Dataset) -> None:
    cache, config = FitCache(shop_dataset, shop_dataset.end), small_config()
    cache.als(config), cache.ease(config), cache.copurchase_counts(config)
    assert_same(fit_models(shop_dataset, config, cache=cache), fit_models(shop_dataset, config))


def test_models_that_other_threads_began_are_fitted_once(
    shop_dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, config, fitted = FitCache(shop_dataset, shop_dataset.end), small_config(), Counter[str]()
    for where, name in ((WholeShop, "factors"), (fit_cache, "ease_of")):
        fit = getattr(where, name)
        monkeypatch.setattr(where, name, lambda *given, name=name, fit=fit: (fitted.update([name]), fit(*given))[1])
    with ThreadPoolExecutor(2) as pool:
        cache.begin(config, pool)
        found = list(pool.map(cache.als, [config] * 4))
    assert all(each is cache.als(config) for each in found)
    assert cache.ease(config) is cache.ease(config)
    assert fitted == {"factors": 1, "ease_of": 1}


@pytest.mark.parametrize(("large_from", "is_warm"), [(1, True), (10**9, False)])
def test_later_fits_of_a_large_shop_begin_with_the_first_factors(
    shop_dataset: Dataset, monkeypatch: pytest.MonkeyPatch, large_from: int, is_warm: bool
) -> None:
    monkeypatch.setattr(fit_cache, "LARGE_EVENTS", large_from)
    config, starts = small_config(), list[object]()
    fit = WholeShop.factors
    monkeypatch.setattr(WholeShop, "factors", lambda *given: (starts.append(given[3]), fit(*given))[1])
    first = FitCache(shop_dataset, shop_dataset.end)
    second = FitCache(shop_dataset, shop_dataset.end, first=first.first)
    factors = first.als(config).item_factors
    other = second.als(replace(config, als=replace(config.als, regularization=7.0)))
    wider = second.als(replace(config, als=replace(config.als, n_factors=config.als.n_factors + 1)))
    assert starts[0] is None
    assert (starts[1] is factors) == is_warm
    assert starts[2] is None, "factors of another length are of no use"
    assert np.isfinite(other.item_factors).all()
    assert np.isfinite(wider.item_factors).all()


def test_a_model_that_cannot_be_fitted_fails_whoever_asks(
    shop_dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object) -> None:
        raise DataError("diverged")

    monkeypatch.setattr(WholeShop, "factors", fail)
    cache, config = FitCache(shop_dataset, shop_dataset.end), small_config()
    with ThreadPoolExecutor(1) as pool:
        cache.begin(config, pool)
    with pytest.raises(DataError, match="diverged"):
        cache.als(config)
