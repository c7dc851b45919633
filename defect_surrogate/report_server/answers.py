"""What the report server answers at each of its addresses."""

import re
from dataclasses import dataclass

from pymatgen.io.vasp.inputs import Poscar
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from defect_surrogate.archive import count_rows, find_rows, indexed_structure
from defect_surrogate.report_server.access import (
    CONTENT_TYPES,
    OVERVIEW_FILE,
    PAGE_FILE,
    POSCAR_TYPE,
    SHOWN,
    disposition,
    requested_names,
    served_file,
)
from defect_surrogate.report_server.campaigns import campaigns_of, standing
from defect_surrogate.report_server.catalogue import Catalogue
from defect_surrogate.report_server.filters import SORTS, VacancyFilter
from defect_surrogate.report_server.pages import page
from defect_surrogate.report_server.paging import PAGE_LENGTH, Paging
from defect_surrogate.report_server.run_folders import HOST_DEPTH, run_marker
from defect_surrogate.report_server.run_page import search_content, sweep_content
from defect_surrogate.report_server.units import CONVERGED, LEVELS, UnitFilter
from defect_surrogate.report_server.vacancies import VacancyRow, vacancies_csv
from defect_surrogate.reports.files import read_alloy, read_campaign
from defect_surrogate.reports.results import RESULTS_FILE

ARCHIVE = "archive"
"""Folder of the archive below the served one."""

REPORT_POLICY = (
    "sandbox allow-scripts allow-downloads; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Of ``report.html``: its scripts draw figures, in an origin of its own, where they reach nothing of this server. The page
itself names those two that may run."""

FILE_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
"""Of other files: nothing in them runs or loads anything."""

KEY = re.compile("[0-9a-f]{64}")
KEY_SHOWN = 12
"""Digits of a key in the name of a file."""


@dataclass(frozen=True)
class Answers:
    """What answers at each address.

    Attributes
    ----------
    catalogue
        The runs below the served folder.
    """

    catalogue: Catalogue

    def index(self, request: Request) -> Response:
        """List campaigns, and single searches and sweeps."""
        runs = self.catalogue.runs()
        content = {
            "campaigns": campaigns_of(runs),
            "runs": [run for run in standing(runs) if run.campaign is None and not run.fault],
            "unreadable": [run for run in runs if run.fault],
            "root": self.catalogue.root,
        }
        return page("index.html", content)

    def campaign(self, request: Request) -> Response:
        """List the runs of the hosts of a campaign."""
        names = requested_names(request.scope["raw_path"].removesuffix(b"/"))
        found = [one for one in campaigns_of(self.catalogue.runs()) if (one.name,) == names]
        if not found:
            raise HTTPException(404)
        content = {"campaign": found[0], "query": VacancyFilter(campaign=found[0].name).query, "above": HOST_DEPTH - 1}
        return page("campaign.html", content)

    def run(self, request: Request) -> Response:
        """Show a run."""
        names = requested_names(request.scope["raw_path"].removesuffix(b"/"))
        run = None if names is None else self.catalogue.find(names)
        if run is None:
            raise HTTPException(404)
        files = [name for name in CONTENT_TYPES if self._is_served((*run.names, name))]
        shown: dict[str, object] = {"run": run, "files": files, "overview": OVERVIEW_FILE}
        if run.summary is None:
            return page("unread.html", shown)
        path = self.catalogue.root.joinpath(*run.names, run.report)
        if run.kind == "search":
            sweep = run.sweep if run.sweep is not None and self._is_run(run.sweep) else None
            return page("search.html", shown | {"sweep": sweep} | search_content(run, read_campaign(path)))
        compositions = [one for one in self.catalogue.runs() if one.sweep == run.names]
        return page("sweep.html", shown | sweep_content(read_alloy(path), compositions))

    def vacancies(self, request: Request) -> Response:
        """Show the vacancies of all runs that the query selects."""
        rows = self._rows()
        wanted = VacancyFilter.of(request.query_params)
        selected = wanted.selected(rows)
        paging = Paging.of(request.query_params, total=len(selected), selection=wanted.query)
        content = {
            "wanted": wanted,
            "rows": selected[paging.offset : paging.offset + PAGE_LENGTH],
            "paging": paging,
            "of_all": len(rows),
            "sorts": SORTS,
            "elements": sorted({row.element for row in rows}),
            "campaigns": sorted({row.campaign for row in rows if row.campaign is not None}),
            "levels": sorted({row.level_of_theory for row in rows if row.level_of_theory is not None}),
            "several_levels": len({row.level_of_theory for row in selected}) > 1,
        }
        return page("vacancies.html", content)

    def vacancies_csv(self, request: Request) -> Response:
        """Answer with the same vacancies as CSV, all pages."""
        text = vacancies_csv(VacancyFilter.of(request.query_params).selected(self._rows()))
        headers = {"Content-Disposition": disposition("vacancies.csv", shown=False)}
        return Response(text.encode("utf-8", "replace"), media_type=CONTENT_TYPES[RESULTS_FILE], headers=headers)

    def units(self, request: Request) -> Response:
        """Show the finished units of the archive that the query selects."""
        wanted = UnitFilter.of(request.query_params)
        archive = self.catalogue.root / ARCHIVE
        total = count_rows(archive, **wanted.selection)
        paging = Paging.of(request.query_params, total=total, selection=wanted.query)
        content = {
            "wanted": wanted,
            "rows": find_rows(archive, **wanted.selection, limit=PAGE_LENGTH, offset=paging.offset),
            "paging": paging,
            "levels": LEVELS,
            "converged": CONVERGED,
            "archive": archive,
        }
        return page("units.html", content)

    def unit_structure(self, request: Request) -> Response:
        """Answer with the relaxed structure of a unit as POSCAR."""
        key = request.path_params["key"]
        if not KEY.fullmatch(key):
            raise HTTPException(404)
        structure = indexed_structure(self.catalogue.root / ARCHIVE, key)
        if structure is None:
            raise HTTPException(404)
        text = Poscar(structure, comment=f"relaxed structure of unit {key}").get_str(significant_figures=12)
        headers = {"Content-Disposition": disposition(f"{key[:KEY_SHOWN]}.vasp", shown=False)}
        return Response(text, media_type=POSCAR_TYPE, headers=headers)

    def file(self, request: Request) -> Response:
        """Answer with a file of a run folder, if it is one of those that are served."""
        names = requested_names(request.scope["raw_path"])
        found = None if names is None else served_file(names, root=self.catalogue.root, is_run=self._is_run)
        if names is None or found is None:
            raise HTTPException(404)
        with found[1] as stream:
            content = stream.read()
        headers = {
            "Content-Disposition": disposition(names[-1], shown=names[-1] in SHOWN),
            "Content-Security-Policy": REPORT_POLICY if names[-1] == PAGE_FILE else FILE_POLICY,
        }
        if names[-1] == OVERVIEW_FILE:  # which Prefect's dashboard, of another address, shows
            headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        return Response(content, media_type=found[0], headers=headers)

    def _rows(self) -> list[VacancyRow]:
        return [row for run in self.catalogue.runs() if run.summary is not None for row in run.summary.rows]

    def _is_run(self, names: tuple[str, ...]) -> bool:
        return run_marker(self.catalogue.root, names) is not None

    def _is_served(self, names: tuple[str, ...]) -> bool:
        found = served_file(names, root=self.catalogue.root, is_run=self._is_run)
        if found is not None:
            found[1].close()
        return found is not None
