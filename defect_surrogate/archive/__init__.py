"""The archive: one directory per finished unit of work, whole or absent, found again by the digest of its inputs.

Layout below the root::

    units/<host>/<defect>/<label>/<level>/<key>/         a finished unit: unit.json, frames.extxyz, files/ of the calculation
    failures/<host>/<defect>/<label>/<level>/<key>.json  why the last attempt of a unit broke
    attempts/<key>-<host>-<pid>-<random>/                             one attempt: attempt.json, and its working directory work/
    unfinished/<host>/<defect>/<label>/<level>/<key>     how far a relaxation is, for another worker to go on from
    unfinished/<host>/<defect>/<label>/<level>/<key>.segment-<n>/  ionic steps of a run of VASP that was interrupted
    drivers/<host>-<pid>-<random>                                     a driver that lives
    claims/<key>                                                      the driver that has given a unit out
    rejected/                                            directories found damaged, kept to look at
    dropped.log                                          results of units that another worker had published first
    index.db                                             ASE database, made anew from units/ at will; PostgreSQL in its place,
                                                         for any number of archives, where DEFECT_SURROGATE_INDEX is its address

A unit is written under attempts/, its files are synced to disk, and one rename publishes it. A second worker that finished
the same unit finds the directory taken, and returns what the first published. ``unit.json`` holds its own digest and those
of all files, so that damage after publication is seen and the unit is computed again. ``pack`` and ``unpack`` carry units to
the archive of another machine.
"""

from defect_surrogate.archive.bundle import Unpacked, pack, unpack
from defect_surrogate.archive.drivers import Driver
from defect_surrogate.archive.failures import Failure
from defect_surrogate.archive.index import reindex, update_index
from defect_surrogate.archive.index_database import index_location
from defect_surrogate.archive.index_rows import IndexRow, count_rows, find_rows, indexed_structure
from defect_surrogate.archive.records import Record
from defect_surrogate.archive.segments import keep_segment, left_behind, read_segments
from defect_surrogate.archive.store import Archive

__all__ = [
    "Archive",
    "Driver",
    "Failure",
    "IndexRow",
    "Record",
    "Unpacked",
    "count_rows",
    "find_rows",
    "index_location",
    "indexed_structure",
    "keep_segment",
    "left_behind",
    "pack",
    "read_segments",
    "reindex",
    "unpack",
    "update_index",
]
