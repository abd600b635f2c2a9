"""Which weights of the features a planted shop leads to."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from recsys.models.content.feature_search import MIN_QUERIES, search_feature_weights
from recsys.models.content.hybrid import HybridConfig
from recsys.models.content.similarity import Similarity, reweighted

N_NICHES, N_EACH = 20, 10


def _shop(decides: str, n_users: int = 600, seed: int = 0) -> tuple[Similarity, tuple[str, ...]]:
    """Each item has the rare tag of a niche, common tags and a title; users keep to one niche, or to nothing."""
    rng = np.random.default_rng(seed)
    n_items = N_NICHES * N_EACH
    niche, common = np.repeat(np.arange(N_NICHES), N_EACH), rng.integers(0, 4, (n_items, 3))
    words = rng.integers(0, 40, (n_items, 6))
    features = np.zeros((n_items, N_NICHES + 4 + 40), np.float32)
    rows = np.arange(n_items)
    for column in (niche, *(N_NICHES + common.T), *(N_NICHES + 4 + words.T)):
        features[rows, column] = 1
    vocabulary = (
        *(f"tag:niche {n}" for n in range(N_NICHES)),
        *(f"tag:common {n}" for n in range(4)),
        *(f"title:word {n}" for n in range(40)),
    )
    idf = np.log(n_items / np.maximum(features.sum(axis=0), 1)) + 0.05
    bought = np.zeros((n_users, n_items), np.float32)
    for user in range(n_users):
        pool = np.flatnonzero(niche == user % N_NICHES) if decides == "niche" else rows
        bought[user, rng.choice(pool, 4, replace=False)] = 1
    content = reweighted(sparse.csr_matrix(features), idf.astype(np.float32))
    return Similarity(content, sparse.csr_matrix(bought), np.full(n_items, -1, np.int32), HybridConfig()), vocabulary


def test_where_rare_tags_lead_to_the_buyers_they_get_more_weight() -> None:
    similarity, vocabulary = _shop("niche")
    found = search_feature_weights(similarity, vocabulary, np.random.default_rng(0))
    assert found.name != "prior"
    assert found.gain > 0
    assert found.weight[:N_NICHES].min() > found.weight[N_NICHES + 4 :].max()


@pytest.mark.parametrize("seed", range(3))
def test_where_content_leads_nowhere_the_prior_stays(seed: int) -> None:
    similarity, vocabulary = _shop("nothing", seed=seed)
    found = search_feature_weights(similarity, vocabulary, np.random.default_rng(0))
    assert found.name == "prior" or found.gain < 0.5
    assert (found.weight > 0).all()


def test_the_same_seed_gives_the_same_weights() -> None:
    similarity, vocabulary = _shop("niche", seed=4)
    first, again = (search_feature_weights(similarity, vocabulary, np.random.default_rng(1)) for _ in range(2))
    assert (first.name, first.gain) == (again.name, again.gain)
    np.testing.assert_array_equal(first.weight, again.weight)


def test_too_few_items_with_buyers_teach_nothing() -> None:
    similarity, vocabulary = _shop("niche", n_users=10)
    assert (similarity.n_buyers >= 5).sum() < MIN_QUERIES
    found = search_feature_weights(similarity, vocabulary, np.random.default_rng(0))
    assert (found.name, found.gain) == ("prior", 0.0)
    np.testing.assert_array_equal(found.weight, 1)
