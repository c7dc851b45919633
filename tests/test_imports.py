"""The direction of imports: flows → tasks → defect_surrogate, and downwards inside it; one importer per heavy library."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("defect_surrogate", "tasks", "flows")

# A module imports only what stands above it.
ORDER = (
    "errors",
    "markdown",
    "quietly",
    "settings",
    "settings_files",
    "relaxation",
    "crystal_files",
    "hosts",
    "vacancies",
    "distortions",
    "sampling_cache",
    "bulk_cells",
    "isolated_atoms",
    "archive",
    "surrogates",
    "vasp_xtb",
    "vasp",
    "ideal_sites",
    "minima",
    "alloys",
    "reconstruction",
    "budget",
    "metrics",
    "site_pairing",
    "defect_site",
    "shakenbreak_folders",
    "finished_relaxation",
    "finished_majority",
    "finished_search",
    "dataset",
    "evaluation",
    "training",
    "level_comparison",
    "reports",
    "report_server",
)

# Heavy library → the only modules that may import it.
OWNERS = {
    "custodian": ("vasp",),
    "dscribe": ("minima",),
    "chgnet": ("surrogates",),
    "matgl": ("surrogates", "training"),
    "torch": ("surrogates", "training"),
    "maml": ("dataset",),
    "sqsgenerator": ("alloys",),
    "tblite": ("vasp_xtb",),
    "doped": ("hosts", "vacancies", "distortions"),
    "shakenbreak": ("distortions",),
    "plotly": ("reports",),
    "jinja2": ("reports", "report_server"),
    "fastapi": ("report_server",),
    "starlette": ("report_server", None),  # None: flows, which run a Prefect server
    "uvicorn": ("report_server", None),
}


def sources():
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def imported(path):
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def room(dotted):
    """Module of ours at the first level below defect_surrogate, or None."""
    parts = dotted.split(".")
    return parts[1] if parts[0] == "defect_surrogate" and len(parts) > 1 and parts[1] in ORDER else None


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    forbidden = {
        "defect_surrogate": ("flows", "tasks", "prefect", "dask", "distributed"),
        "tasks": ("flows",),
        "flows": (),
    }
    own = room(".".join(parts))
    for name in imported(path):
        assert name.split(".")[0] not in forbidden[parts[0]], f"imports {name}"
        other = room(name)
        if own is not None and other is not None:
            assert ORDER.index(other) <= ORDER.index(own), f"imports {name}, which stands below it"
        top = name.split(".")[0]
        if top in OWNERS:
            assert own in OWNERS[top], f"imports {top}"


def test_the_stand_in_imports_nothing_else_of_ours():
    for path in (ROOT / "defect_surrogate" / "vasp_xtb").rglob("*.py"):
        assert {room(name) for name in imported(path)} <= {None, "vasp_xtb"}, path


def test_every_module_has_a_place_in_the_order():
    modules = {path.stem for path in (ROOT / "defect_surrogate").iterdir() if path.suffix == ".py" or path.is_dir()}
    assert modules - {"__init__", "__pycache__", "py"} - set(ORDER) - {"py.typed"} == set()


def test_no_room_is_called_utils():
    names = {path.stem for path in sources()}
    assert names & {"utils", "helpers", "common", "types", "misc"} == set()


def test_a_reference_job_imports_nothing_heavy():
    heavy = ("torch", "matgl", "doped", "shakenbreak", "dscribe", "numba", "sklearn", "pandas", "matplotlib")
    code = f"import sys, flows.reference_level; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_nothing_takes_ctrl_c_away():
    """dask-jobqueue would have it end a campaign with exit code 0."""
    code = "import signal, flows.relaxing; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    reset = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "  # a background shell ignores it
    done = subprocess.run([sys.executable, "-c", reset + code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "True"


def test_the_command_line_leaves_prefect_its_environment():
    """Prefect reads it at its import, and commands set it."""
    code = (
        "import sys; from flows.cli_errors import errors; import flows.cli, flows.serve.api, flows.campaigns.start;"
        "errors(resume=None).__enter__(); print('prefect' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"
