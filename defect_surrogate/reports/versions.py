"""Versions of the libraries that results depend on."""

from importlib.metadata import version

LIBRARIES = (
    "ase",
    "chgnet",
    "custodian",
    "defect-surrogate",
    "doped",
    "dscribe",
    "matgl",
    "numpy",
    "prefect",
    "pymatgen",
    "shakenbreak",
    "tblite",
    "torch",
)


def library_versions() -> dict[str, str]:
    """Versions of the libraries that results depend on.

    Returns
    -------
    dict of str to str
        Distribution → installed version.
    """
    return {name: version(name) for name in LIBRARIES}
