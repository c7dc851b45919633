"""Surrogate-accelerated search for the ground-state structures of point defects.

Distort, relax with a machine-learned force field, keep the distinct minima, relax those at the reference level.
The method is that of Mosquera-Lois et al., npj Comput. Mater. 2024 (doi:10.1038/s41524-024-01303-9).
"""

from importlib.metadata import version

__version__ = version("defect-surrogate")
