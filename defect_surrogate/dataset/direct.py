"""DIRECT sampling: frames that cover the space of structures evenly, whatever relaxation they come from.

Dimensionality-reduced encoded clusters with stratified sampling (Qi et al., doi:10.1038/s41524-024-01227-4), by the authors'
``maml``: features are standardised, reduced to the principal components of variance above 1, clustered by BIRCH, and up to k
frames are taken from each cluster, by their distance from its centre. Mosquera-Lois et al. (doi:10.1038/s41524-024-01303-9,
SI Table 3) compare it with evenly spaced steps (t, n, k = 0.02, 4000, 20 best): for datasets of one size it is no better,
since it favours the distorted first steps over the minima.
"""

import logging
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from defect_surrogate.dataset.frames import Dataset
from defect_surrogate.errors import DatasetError

THRESHOLD = 0.02
PER_CLUSTER = 20

_SAME = 1e-6  # distance of features in units of their spread below which BIRCH cannot tell frames apart


def direct_sample(
    dataset: Dataset,
    features: NDArray[np.float64],
    *,
    clusters: int | None = None,
    per_cluster: int = PER_CLUSTER,
    threshold: float = THRESHOLD,
) -> Dataset:
    """Sample a dataset by DIRECT.

    Parameters
    ----------
    dataset
        n_frames frames.
    features
        Shape (n_frames, n_features), of any unit: columns are standardised. For example of ``structural_features``.
    clusters
        Number n of clusters; as many as the threshold makes when None.
    per_cluster
        Most frames k taken of a cluster.
    threshold
        Radius t up to which BIRCH merges frames into one cluster, in units of the weighted principal components; lowered until
        there are ``clusters``.

    Returns
    -------
    Dataset
        The frames taken, in their order; the same for the same input.

    Raises
    ------
    DatasetError
        If there is not one finite row of features for each frame, fewer than two frames differ, there are more clusters than
        different frames, or a number is not positive.
    """
    if features.ndim != 2 or len(features) != len(dataset) or not np.isfinite(features).all():
        raise DatasetError(f"features of shape {features.shape}, finite, are needed for {len(dataset)} frames")
    if min(per_cluster, threshold, 1 if clusters is None else clusters) <= 0:
        raise DatasetError(
            f"DIRECT with threshold {threshold}, {clusters} clusters, {per_cluster} of each: must be positive"
        )
    sampler = _sampler(clusters, per_cluster, threshold)
    components: Any = features
    for _, stage in sampler.steps[:2]:
        components = stage.fit_transform(components)
    different = len(np.unique(np.round(components / _SAME), axis=0)) if components.shape[1] else 1
    if different < max(2, clusters or 0):
        raise DatasetError(
            f"{different} different frames among {len(dataset)}, too few for {clusters or 'several'} clusters"
        )
    for _, stage in sampler.steps[2:]:
        components = stage.fit_transform(components)
    selected = sorted({int(index) for index in components["selected_indexes"]})
    return replace(dataset, frames=tuple(dataset.frames[index] for index in selected))


def _sampler(clusters: int | None, per_cluster: int, threshold: float) -> Any:
    """Make maml's sampler, without the handler that its import gives to the root logger and without its reports."""
    handlers = list(logging.getLogger().handlers)
    from maml.sampling.clustering import BirchClustering  # noqa: PLC0415  (seconds)
    from maml.sampling.direct import DIRECTSampler  # noqa: PLC0415
    from maml.sampling.stratified_sampling import SelectKFromClusters  # noqa: PLC0415

    logging.getLogger().handlers[:] = handlers
    logging.getLogger("maml").setLevel(logging.WARNING)
    for name in ("pca", "clustering", "stratified_sampling"):
        logging.getLogger(f"maml.sampling.{name}").setLevel(logging.WARNING)
    return DIRECTSampler(
        structure_encoder=None,
        clustering=BirchClustering(n=clusters, threshold_init=threshold),
        select_k_from_clusters=SelectKFromClusters(k=per_cluster),
    )
