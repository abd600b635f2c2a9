"""Models that several steps share: each fitted once per configuration, and the same as those of the whole fit."""

from __future__ import annotations

from dataclasses import replace

from recsys.data.dataset import Dataset
from recsys.fitting.fit import fit_models
from recsys.fitting.fit_cache import FitCache
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
