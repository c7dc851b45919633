import asyncio
import base64
import csv
import dataclasses
import io
import json
import os
import re
import shutil
from html.parser import HTMLParser
from urllib.parse import quote_from_bytes, unquote

import pytest
from pymatgen.core import Structure
from starlette.testclient import TestClient

from defect_surrogate.archive import Archive, IndexRow, update_index
from defect_surrogate.errors import InputError, ServiceError
from defect_surrogate.relaxation import Unit
from defect_surrogate.report_server import answers as module
from defect_surrogate.report_server.app import create_app
from defect_surrogate.reports.files import campaign_json
from tests.defect_surrogate.report_server.conftest import HOSTILE, SCRIPT, SECRET, named, write_run
from tests.units import publish

PAGES = [
    "/",
    "/campaigns/tellurides/",
    "/vacancies",
    "/vacancies?text=cdte&sort=lowering&reconstructed=yes",
    "/units",
    "/runs/runs/hse/",
    "/runs/runs/hse",
    "/runs/campaigns/tellurides/hosts/CdTe/",
    "/runs/campaigns/tellurides/hosts/PbTe/",
    "/runs/runs/sweep/",
    "/runs/runs/old/",
    "/runs/runs/bad-sweep/",
]
KEY = "ab" * 32


class Reader(HTMLParser):
    """Elements with attributes, and visible text."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.text = [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())

    @property
    def links(self):
        return [attributes["href"] for tag, attributes in self.elements if tag == "a"]


@pytest.fixture(autouse=True)
def no_database(monkeypatch):
    monkeypatch.delenv("DEFECT_SURROGATE_INDEX", raising=False)


@pytest.fixture(scope="module")
def client(root):
    with TestClient(create_app(root), base_url="http://localhost", raise_server_exceptions=False) as client:
        yield client


def read(client, address):
    answer = client.get(address)
    assert answer.status_code == 200
    return Reader(answer.text)


def run_address(name):
    return f"/runs/runs/{quote_from_bytes(os.fsencode(name), safe='')}/"


@pytest.mark.parametrize("address", [*PAGES, run_address(HOSTILE), run_address(os.fsdecode(b"latin-\xe9"))])
def test_pages_have_no_scripts_and_may_load_nothing_but_images(client, address):
    answer = client.get(address)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert re.fullmatch(
        r"default-src 'none'; style-src 'sha256-[\w+/=]+'; img-src 'self'; form-action 'self'; "
        r"frame-ancestors 'none'; base-uri 'none'",
        policy,
    )
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "private, no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    page = Reader(answer.text)
    assert {tag for tag, _ in page.elements} & {"script", "iframe", "object", "embed", "base", "link"} == set()
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        for name in ("href", "src", "action"):
            assert re.match(r"/(?!/)|#", attributes.get(name, "/"))
    assert "\u202e" not in answer.text


def test_every_link_of_every_page_leads_somewhere(client):
    seen, waiting = set(), list(PAGES)
    while waiting:
        address = waiting.pop().split("#")[0]
        if address in seen or not address:
            continue
        seen.add(address)
        answer = client.get(address)
        assert answer.status_code == 200, address
        if answer.headers["content-type"].startswith("text/html") and not address.startswith("/files/"):
            page = Reader(answer.text)
            waiting += page.links
            waiting += [attributes["src"] for tag, attributes in page.elements if tag == "img"]
    assert len(seen) > 40


def test_the_list_of_runs(client):
    page = read(client, "/")
    assert "tellurides" in page.words
    assert "5 reports cannot be read" not in page.words
    assert "4 reports cannot be read" in page.words
    assert "is of schema 1" in page.words
    assert "/runs/runs/sweep/compositions/CdTe/" not in page.links
    assert "stand-in" in page.words
    assert ("meta", {"http-equiv": "refresh", "content": "120"}) in page.elements


def test_hostile_names_stay_text(client):
    page = read(client, run_address(HOSTILE))
    assert SCRIPT.split("\u202e")[0] in " ".join(page.text)
    assert not [tag for tag, _ in page.elements if tag in ("script", "img")]
    assert "double quotes" in page.words
    assert not [link for link in page.links if link.startswith("/files/")]
    assert run_address(HOSTILE) in read(client, "/").links


def test_a_run_says_what_was_found_and_what_failed(client):
    page = read(client, "/runs/campaigns/tellurides/hosts/CdTe/")
    assert "Missed by the surrogate: Te–Te dimer" in page.words
    assert "killed by signal 9" in page.words
    assert ("img", "/files/campaigns/tellurides/hosts/CdTe/overview.svg") in [
        (tag, attributes.get("src")) for tag, attributes in page.elements
    ]
    poscars = {link for link in page.links if link.endswith(".vasp")}
    assert len(poscars) == 4
    assert {
        f"/files/campaigns/tellurides/hosts/CdTe/{name}" for name in ("report.html", "results.csv", "campaign.json")
    } < set(page.links)


def test_a_composition_leads_to_its_sweep_and_back(client):
    assert "/runs/runs/sweep/" in read(client, "/runs/runs/sweep/compositions/CdTe/").links
    sweep = read(client, "/runs/runs/sweep/")
    assert "/runs/runs/sweep/compositions/CdTe/" in sweep.links
    assert "Warning: CdSe was lost: ServiceError: gone" in sweep.words


def test_what_a_forged_report_names_outside_is_not_linked(analysed, tmp_path):
    (host,) = analysed.campaign.hosts
    (vacancy,) = host.vacancies
    minima = tuple(dataclasses.replace(one, structure_file="../../etc/passwd") for one in vacancy.minima)
    forged = named(analysed, "CdTe", minima=minima, ground_state=minima[0])
    (tmp_path / "campaign.json").write_text(campaign_json(forged.campaign))
    client = TestClient(create_app(tmp_path), base_url="http://localhost")
    for address in ("/runs/", "/vacancies"):
        assert "passwd" not in client.get(address).text


def test_vacancies_are_filtered_and_downloaded_alike(client):
    page = read(client, "/vacancies?campaign=tellurides&failed=yes")
    assert "1 of 7 vacancies" in page.words
    (link,) = (link for link in page.links if link.startswith("/vacancies.csv"))
    answer = client.get(link)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"].startswith('attachment; filename="vacancies.csv"')
    (row,) = csv.DictReader(io.StringIO(answer.text, newline=""))
    assert (row["run"], row["host"], row["failures"]) == ("campaigns/tellurides/hosts/CdTe", "CdTe", "1")
    assert "None of the 7 vacancies" in read(client, "/vacancies?text=nothing").words
    assert len(client.get("/vacancies.csv").text.splitlines()) > 7


def test_a_form_keeps_what_was_chosen(client):
    page = read(client, '/vacancies?text="><script>&level=HSE06 (VASP)&sort=saved&failed=yes')
    inputs = {a["name"]: a for tag, a in page.elements if tag == "input"}
    assert inputs["text"]["value"] == '"><script>'
    assert "checked" in inputs["failed"]
    assert [a["value"] for tag, a in page.elements if tag == "option" and "selected" in a] == ["HSE06 (VASP)", "saved"]


def test_long_tables_have_pages(analysed, tmp_path):
    (host,) = analysed.campaign.hosts
    many = tuple(dataclasses.replace(host.vacancies[0], name=f"v_{i:03d}") for i in range(250))
    campaign = dataclasses.replace(analysed.campaign, hosts=(dataclasses.replace(host, vacancies=many),))
    (tmp_path / "campaign.json").write_text(campaign_json(campaign))
    client = TestClient(create_app(tmp_path), base_url="http://localhost")
    for number, first, last in ((1, "v_000", "v_099"), (3, "v_200", "v_249")):
        text = client.get(f"/vacancies?page={number}&element=Cd").text
        assert f'<td class="name vacancy">{first}</td>' in text
        assert f'<td class="name vacancy">{last}</td>' in text
        assert f"Page {number} of 3" in text
    assert "/vacancies?element=Cd&page=2" in Reader(text).links
    for odd in ("0", "-1", "x", "9" * 5000, "٣", ""):
        assert "Page " in client.get("/vacancies", params={"page": odd}).text
    assert "Page 3 of 3" in client.get("/vacancies?page=999999").text


def test_an_empty_folder_says_what_to_do(tmp_path):
    client = TestClient(create_app(tmp_path), base_url="http://localhost")
    assert f"--out {tmp_path}/runs/CdTe" in client.get("/").text
    assert "No run has a vacancy with a report yet" in client.get("/vacancies").text
    assert "The index holds no finished unit yet" in client.get("/units").text
    assert client.get("/runs/").status_code == 404
    assert list(tmp_path.iterdir()) == []


def test_reports_are_shown_in_an_origin_of_their_own(client):
    answer = client.get("/files/runs/hse/report.html")
    policy = dict(part.strip().partition(" ")[::2] for part in answer.headers["content-security-policy"].split(";"))
    assert policy["sandbox"] == "allow-scripts allow-downloads"
    assert policy["default-src"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.text == "<p>the report</p>"


def test_other_files_are_saved_and_pictures_run_nothing(client, root):
    answer = client.get("/files/runs/hse/campaign.json")
    assert answer.headers["content-disposition"].startswith("attachment; ")
    assert answer.headers["content-type"] == "application/json"
    assert answer.content == (root / "runs/hse/campaign.json").read_bytes()
    picture = client.get("/files/runs/hse/overview.svg")
    assert picture.headers["content-type"] == "image/svg+xml"
    assert picture.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    poscar = client.get("/files/runs/hse/minima/CdTe/v_Cd_0/Unperturbed.vasp")
    assert poscar.headers["content-type"] == "text/plain; charset=utf-8"
    assert Structure.from_str(poscar.text, fmt="poscar").formula == "Cd31 Te32"
    for one in (answer, picture, poscar):
        assert one.headers["x-content-type-options"] == "nosniff"


async def asked(app, raw_path, method="GET", headers=((b"host", b"localhost"),)):
    """Status and body of an answer to a path that no client would send."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": b""}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": method, "path": unquote(raw_path.decode("latin-1")), "raw_path": raw_path}
    scope |= {"query_string": b"", "headers": list(headers), "scheme": "http", "server": ("localhost", 80)}
    await app(scope | {"http_version": "1.1", "root_path": "", "client": ("::1", 1)}, receive, send)
    return sent[0]["status"], b"".join(one.get("body", b"") for one in sent[1:])


@pytest.mark.parametrize(
    "raw_path",
    [
        b"/files/../../etc/passwd",
        b"/files/runs/hse/../../secret.txt",
        b"/files/%2e%2e/secret.txt",
        b"/files/runs/hse/%2e%2e%2f%2e%2e%2fsecret.txt",
        b"/files/runs/hse/archive/campaign.json",
        b"/files//etc/passwd",
        b"/files%2fruns%2fhse%2freport.html",
        b"/files/runs/hse/minima/out/1.vasp",
        b"/files/runs/out/campaign.json",
        b"/files/\xff",
        b"/files",
        b"/files/",
        b"/runs/../",
        b"/runs/runs/out/",
        b"/runs/archive/",
        b"/campaigns/../",
        b"/campaigns/nothing/",
        b"/campaigns/tellurides/hosts/",
        b"/units/x.vasp",
        b"/units/" + b"AB" * 32 + b".vasp",
        b"/units/" + b"ab" * 32 + b"%0a.vasp",
        b"/units/..%2f" + b"ab" * 32 + b".vasp",
        b"/docs",
        b"/openapi.json",
        b"/static/page.css",
        b"//evil.example/",
        b"/%2f%2fevil.example",
    ],
)
def test_nothing_else_has_an_address(root, raw_path):
    status, body = asyncio.run(asked(create_app(root), raw_path))
    assert (status, b"Nothing here" in body) == (404, True)
    assert SECRET.encode() not in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get", "X"])
@pytest.mark.parametrize("path", [b"/", b"/files/runs/hse/report.html", b"/health", b"/nothing"])
def test_it_only_shows(root, method, path):
    assert asyncio.run(asked(create_app(root), path, method))[0] == 405


def test_heads_are_as_of_gets(client):
    for address in (*PAGES, "/files/runs/hse/report.html", "/vacancies.csv", "/health"):
        head, get = client.head(address), client.get(address)
        assert head.status_code == get.status_code == 200
        assert head.headers.keys() == get.headers.keys()


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ((b"host", b"evil.example"),),
        ((b"host", b"localhost"), (b"host", b"evil.example")),
        ((b"host", b"localhost:1@evil"),),
    ],
)
def test_without_a_password_another_name_of_this_machine_is_refused(root, headers):
    status, body = asyncio.run(asked(create_app(root), b"/", headers=headers))
    assert status == 400
    assert b"tellurides" not in body


@pytest.mark.parametrize("host", ["localhost:8300", "127.0.0.1", "[::1]:8300"])
def test_its_own_names_are_taken(root, host):
    assert asyncio.run(asked(create_app(root), b"/", headers=((b"host", host.encode()),)))[0] == 200


def test_with_a_password_all_but_health_needs_it(root):
    client = TestClient(create_app(root, password="group:secret"), base_url="http://reports.example")
    assert client.get("/health").json() == {"status": "ok"}
    for address in (*PAGES, "/files/runs/hse/report.html", "/vacancies.csv", "/nothing", "/health/", "/healthy"):
        answer = client.get(address)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith('Basic realm="')
        assert "tellurides" not in answer.text
        assert client.get(address, auth=("group", "wrong")).status_code == 401
    assert client.get("/", auth=("group", "secret")).status_code == 200
    assert client.get("/", auth=("other", "secret")).status_code == 401
    token = base64.b64encode(b"group:secret").decode()
    assert client.get(f"/?authorization=Basic {token}").status_code == 401


@pytest.mark.parametrize("host", [b"x/health?", b"x/health#", b"localhost/health?", b"/health?", b"\\/health"])
def test_a_host_header_is_no_way_around_the_password(root, host):
    app = create_app(root, password="secret")
    for path in (b"/", b"/vacancies", b"/files/runs/hse/report.html"):
        assert asyncio.run(asked(app, path, headers=((b"host", host),)))[0] == 401


def test_health_needs_nothing(client):
    assert client.get("/health").json() == {"status": "ok"}


def unit(number, **changes):
    plain = IndexRow(
        "CdTe", "v_Cd_0", "Dimer", "reference", KEY, True, "converged", 12, -1.5, "HSE06", "units/x", "Cd3Te4"
    )
    return dataclasses.replace(plain, key=f"{number:064x}", **changes)


def test_units_are_asked_for_by_filter_and_page(client, root, monkeypatch):
    asked_for = []

    def find_rows(where, **query):
        asked_for.append((where, query))
        return [unit(1), unit(2, host=SCRIPT, energy=None, converged=False)]

    monkeypatch.setattr(module, "find_rows", find_rows)
    monkeypatch.setattr(module, "count_rows", lambda where, **query: 250)
    page = read(client, "/units?host=CdTe&converged=no&level=reference&page=3")
    selection = {"host": "CdTe", "defect": None, "level": "reference", "converged": False}
    assert asked_for == [(root / "archive", selection | {"limit": 100, "offset": 200})]
    assert "250 finished units" in page.words
    assert "-1.5000" in page.words
    assert f"/units/{1:064x}.vasp" in page.links
    assert "/units?host=CdTe&level=reference&converged=no&page=2" in page.links
    assert "script" not in {tag for tag, _ in page.elements}
    read(client, "/units?level=nonsense&converged=maybe")
    assert asked_for[-1][1]["level"] is asked_for[-1][1]["converged"] is None


def test_a_real_index_is_shown(tmp_path, cluster_crystal):
    archive = Archive(tmp_path / "archive")
    unit = Unit("CdTe", "v_Cd_0", "Dimer", "reference", cluster_crystal, "method")
    publish(archive, unit)
    update_index(archive)
    client = TestClient(create_app(tmp_path), base_url="http://localhost")
    page = read(client, "/units?host=CdTe&converged=yes")
    assert "1 finished unit." in page.words
    assert f"/units/{unit.key}.vasp" in page.links
    assert "No finished unit is like that" in client.get("/units?host=ZnTe").text
    assert Structure.from_str(client.get(f"/units/{unit.key}.vasp").text, fmt="poscar").formula == "Cd4 Te4"


def test_a_structure_of_a_unit_is_a_poscar(client, monkeypatch, cluster_crystal):
    monkeypatch.setattr(module, "indexed_structure", lambda where, key: cluster_crystal if key == KEY else None)
    answer = client.get(f"/units/{KEY}.vasp")
    assert answer.headers["content-disposition"].startswith(f'attachment; filename="{KEY[:12]}.vasp"')
    assert Structure.from_str(answer.text, fmt="poscar").matches(cluster_crystal)
    assert client.get(f"/units/{'0' * 64}.vasp").status_code == 404


def test_a_database_that_does_not_answer_takes_down_its_own_page_alone(client, monkeypatch):
    def broken(where, **query):
        raise ServiceError("postgresql://archive: does not answer <script>")

    for name in ("find_rows", "count_rows"):
        monkeypatch.setattr(module, name, broken)
    answer = client.get("/units")
    assert answer.status_code == 503
    assert "does not answer &lt;script&gt;" in answer.text
    assert client.get("/vacancies").status_code == 200


def test_a_report_that_breaks_meanwhile_is_said_to(analysed, tmp_path):
    write_run(tmp_path / "a", analysed)
    client = TestClient(create_app(tmp_path), base_url="http://localhost", raise_server_exceptions=False)
    assert client.get("/runs/a/").status_code == 200
    status = (tmp_path / "a" / "campaign.json").stat()
    (tmp_path / "a" / "campaign.json").write_text("{" + " " * (status.st_size - 1))
    os.utime(tmp_path / "a" / "campaign.json", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert client.get("/runs/a/").status_code == 503
    shutil.rmtree(tmp_path / "a")
    assert client.get("/runs/a/").status_code == 404


def test_nothing_is_written(client, root):
    before = {path: path.lstat().st_mtime_ns for path in root.rglob("*")}
    for address in PAGES:
        client.get(address)
    assert {path: path.lstat().st_mtime_ns for path in root.rglob("*")} == before


def test_what_is_no_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="is not a folder"):
        create_app(tmp_path / "nothing")
    with pytest.raises(InputError, match="empty part"):
        create_app(tmp_path, password="")


def test_the_report_server_loads_neither_torch_nor_prefect():
    import subprocess
    import sys

    code = "import sys, defect_surrogate.report_server.serve; print(json.dumps(sorted({n.split('.')[0] for n in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", f"import json; {code}"], capture_output=True, text=True, check=True)
    heavy = {"torch", "matgl", "prefect", "dask", "distributed", "doped", "shakenbreak", "dscribe"}
    assert heavy & set(json.loads(done.stdout)) == set()
