import base64
import dataclasses
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from defect_surrogate.reports.files import read_campaign, read_structures, write_report_files
from defect_surrogate.reports.page import render_page, write_page
from defect_surrogate.reports.schema import FailureReport

HOSTILE = '"><script>alert(1)</script><img src=http://evil.example/x onerror=alert(2)>'


class Reader(HTMLParser):
    """Elements, attributes, scripts and visible text of a page."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.scripts, self.text, self._script = [], [], [], None
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag in {"script", "style"}:
            self._script = (tag, dict(attrs), [])

    def handle_endtag(self, tag):
        if tag in {"script", "style"}:
            if tag == "script":
                self.scripts.append((self._script[1], "".join(self._script[2])))
            self._script = None

    def handle_data(self, data):
        (self._script[2] if self._script else self.text).append(data)

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


@pytest.fixture(scope="module")
def miss_page(missed):
    return Reader(render_page(missed.campaign, structures=missed.structures))


def hostile(campaign):
    (host,) = campaign.hosts
    (vacancy,) = host.vacancies
    relaxations = tuple(dataclasses.replace(one, label=HOSTILE, detail=HOSTILE) for one in vacancy.relaxations)
    minima = tuple(dataclasses.replace(one, label=HOSTILE, labels=(HOSTILE,), motif=HOSTILE) for one in vacancy.minima)
    failures = tuple(FailureReport(f"h/v/{HOSTILE}/reference", HOSTILE, HOSTILE) for _ in range(9))
    bad = dataclasses.replace(
        vacancy, name=HOSTILE, relaxations=relaxations, minima=minima, ground_state=minima[0], failures=failures
    )
    host = dataclasses.replace(
        host, name=HOSTILE, source=HOSTILE, reference=HOSTILE, vacancies=(bad,), failures=failures
    )
    return dataclasses.replace(
        campaign, hosts=(host,), versions={HOSTILE: HOSTILE}, settings={HOSTILE: HOSTILE}, settings_digest="x"
    )


def loads(page):
    return [
        (tag, value)
        for tag, attributes in page.elements
        for name, value in attributes.items()
        if name in {"src", "srcset", "href", "action", "data", "poster"}
        and re.match(r"(\w+:)?//|javascript:", value or "")
    ]


def test_page_is_self_contained(miss_page):
    assert loads(miss_page) == []
    assert not [tag for tag, _ in miss_page.elements if tag in {"link", "iframe", "object", "embed", "base", "img"}]
    (policy,) = [a["content"] for tag, a in miss_page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")


def test_plotly_is_inlined_once_and_only_known_scripts_may_run(miss_page):
    code = [text for attributes, text in miss_page.scripts if attributes.get("type") != "application/json"]
    assert [len(text) > 1_000_000 for text in code] == [True, False]
    (policy,) = [a["content"] for tag, a in miss_page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in code]
    assert re.findall(r"'sha256-([^']+)'", policy) == hashes


def test_miss_is_on_the_page_in_words(miss_page):
    assert "ground state missed" in miss_page.words
    assert (
        "Missed by the surrogate: Te–Te dimer, 2.75 Å (from Bond_Distortion_-55.0%) is 0.755 eV lower"
        in miss_page.words
    )
    assert "Missed: ground state of the full search: Te–Te dimer, 2.75 Å" in miss_page.words
    assert "killed by signal 9" in miss_page.words


def test_page_has_figures_definitions_and_provenance(analysed):
    page = Reader(render_page(analysed.campaign, structures=analysed.structures))
    places = [attributes["data-figure"] for _, attributes in page.elements if "data-figure" in attributes]
    data = [attributes["id"] for attributes, _ in page.scripts if attributes.get("type") == "application/json"]
    assert places == data == ["figure-1", "figure-2", "figure-3"]
    for words in (
        "reconstructs, −0.755 eV",
        "Unperturbed, relaxed",
        "How to read this",
        "cosine distance",
        "HSE06 (VASP)",
        "Provenance",
    ):
        assert words in page.words


def test_hostile_names_stay_text(analysed):
    page = Reader(render_page(hostile(analysed.campaign), structures=analysed.structures))
    assert loads(page) == []
    assert not [attributes for _, attributes in page.elements if any(name.startswith("on") for name in attributes)]
    assert not [tag for tag, _ in page.elements if tag == "img"]
    assert len([text for attributes, text in page.scripts if attributes.get("type") != "application/json"]) == 2
    assert HOSTILE in "".join(page.text)


def test_empty_results_and_missing_structures_make_a_page(analysed, cdte):
    empty = Reader(render_page(dataclasses.replace(analysed.campaign, hosts=()), structures={}))
    assert "No vacancy was searched." in empty.words
    (host,) = analysed.campaign.hosts
    nothing = dataclasses.replace(
        host.vacancies[0], minima=None, ground_state=None, energy_lowering=None, relaxations=(), unperturbed_file=None
    )
    campaign = dataclasses.replace(analysed.campaign, hosts=(dataclasses.replace(host, vacancies=(nothing,)),))
    page = Reader(render_page(campaign, structures={}))
    assert "no ground state is known" in page.words
    assert "no result" in page.words


def test_unfinished_searches_are_said_to_be(missed):
    (host,) = missed.campaign.hosts
    waiting = dataclasses.replace(host, vacancies=(), relaxation=None, unfinished=1)
    page = Reader(render_page(dataclasses.replace(missed.campaign, hosts=(waiting,)), structures={}))
    assert "No vacancy is searched yet: the host is not relaxed yet." in page.words
    comparison = dataclasses.replace(host.vacancies[0].comparison, hit=None, new_ground_state=None, missed_motif=None)
    vacancy = dataclasses.replace(host.vacancies[0], comparison=comparison, unfinished=12)
    changed = dataclasses.replace(host, vacancies=(vacancy,))
    page = Reader(render_page(dataclasses.replace(missed.campaign, hosts=(changed,)), structures=missed.structures))
    assert "no reconstruction found, search unfinished" in page.words
    assert "12 planned units have no result yet" in page.words
    assert "Missed" not in page.words.replace("Hit, missed", "")


def test_convergence_that_is_not_recorded_is_not_denied(analysed):
    (host,) = analysed.campaign.hosts
    (vacancy,) = host.vacancies
    minima = tuple(dataclasses.replace(one, converged=None) for one in vacancy.minima)
    changed = dataclasses.replace(host, vacancies=(dataclasses.replace(vacancy, minima=minima),))
    page = Reader(render_page(dataclasses.replace(analysed.campaign, hosts=(changed,)), structures={}))
    assert "not recorded" in page.words
    assert " NO " not in page.words


def test_page_is_made_again_from_the_run_folder(missed, tmp_path):
    write_report_files(missed.campaign, tmp_path, structures=missed.structures)
    campaign = read_campaign(tmp_path / "campaign.json")
    path = write_page(campaign, tmp_path, structures=read_structures(campaign, tmp_path))
    assert path == tmp_path / "report.html"
    assert path.read_text(encoding="utf-8") == render_page(missed.campaign, structures=missed.structures)


def test_links_lead_to_the_structure_files(missed, miss_page, tmp_path):
    write_report_files(missed.campaign, tmp_path, structures=missed.structures)
    links = [a["title"] for tag, a in miss_page.elements if tag == "a" and a["href"].startswith("minima/")]
    assert len(links) == 4
    assert all((tmp_path / link).is_file() for link in links)


def test_all_files_of_the_page_are_packaged():
    root = Path(__file__).parents[3]
    packaged = re.search(r"^defect_surrogate = (\[.*\])", (root / "pyproject.toml").read_text(), re.MULTILINE)[1]
    for path in (root / "defect_surrogate" / "reports").glob("page.[!p]*"):
        assert f'"**/*{path.suffix}"' in packaged, f"package-data of pyproject.toml leaves out {path.name}"
