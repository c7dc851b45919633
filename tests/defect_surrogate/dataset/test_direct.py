import logging

import numpy as np
import pytest

from defect_surrogate.dataset.direct import direct_sample
from defect_surrogate.errors import DatasetError


@pytest.fixture
def clustered(dataset_of, relaxations):
    """Sixty frames in three heaps of the plane: forty, fifteen and five."""
    dataset = dataset_of(*relaxations("CdTe", labels=6, steps=10))
    rng = np.random.default_rng(3)
    heaps = np.repeat([[0.0, 0.0, 0.0], [9.0, 1.0, 0.0], [2.0, 8.0, 1.0]], [40, 15, 5], axis=0)
    return dataset, heaps + rng.normal(scale=0.05, size=heaps.shape)


def heap_sizes(dataset, sampled) -> list[int]:
    chosen = np.isin([frame.name for frame in dataset.frames], [frame.name for frame in sampled.frames])
    return [int(part.sum()) for part in np.split(chosen, [40, 55])]


@pytest.mark.parametrize(("per_cluster", "sizes"), [(1, [1, 1, 1]), (4, [4, 4, 4]), (20, [20, 15, 5])])
def test_every_cluster_gives_its_share(clustered, per_cluster, sizes):
    dataset, features = clustered
    sampled = direct_sample(dataset, features, clusters=3, per_cluster=per_cluster, threshold=0.3)
    assert heap_sizes(dataset, sampled) == sizes
    assert sampled.level_of_theory == dataset.level_of_theory


def test_the_threshold_is_lowered_until_there_are_enough_clusters(clustered):
    dataset, features = clustered
    assert len(direct_sample(dataset, features, clusters=25, per_cluster=1, threshold=5.0)) == 25


def test_without_a_number_the_threshold_makes_the_clusters(clustered):
    dataset, features = clustered
    coarse, fine = (direct_sample(dataset, features, per_cluster=1, threshold=t) for t in (0.1, 0.01))
    assert heap_sizes(dataset, coarse) == [1, 1, 1]
    assert len(fine) > 3
    again = direct_sample(dataset, features, per_cluster=1, threshold=0.01)
    assert again.digest == fine.digest
    rescaled = direct_sample(dataset, features * [1000, 1, 1e-3] + 7, per_cluster=1, threshold=0.1)
    assert heap_sizes(dataset, rescaled) == [1, 1, 1]


def test_the_sampler_is_quiet(clustered, capfd):
    handlers = list(logging.getLogger().handlers)
    direct_sample(*clustered, clusters=3)
    assert logging.getLogger().handlers == handlers
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda f: f[:-1], {}, r"features of shape \(59, 3\), finite, are needed for 60 frames"),
        (lambda f: f[:, 0], {}, r"features of shape \(60,\)"),
        (lambda f: np.where(f > 8, np.nan, f), {}, "finite"),
        (lambda f: f, {"clusters": 61}, "60 different frames among 60, too few for 61 clusters"),
        (lambda f: f * 0, {}, "1 different frames among 60"),
        (np.round, {"clusters": 30}, "different frames among 60, too few for 30 clusters"),
        (lambda f: f, {"per_cluster": 0}, "must be positive"),
        (lambda f: f, {"threshold": -1.0}, "must be positive"),
        (lambda f: f, {"clusters": 0}, "must be positive"),
    ],
)
def test_what_cannot_be_sampled_is_refused(clustered, change, options, message):
    dataset, features = clustered
    with pytest.raises(DatasetError, match=message):
        direct_sample(dataset, change(features), **options)
