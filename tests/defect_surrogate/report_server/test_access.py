import os
import time
from email.message import Message
from urllib.parse import quote, quote_from_bytes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defect_surrogate.report_server.access import (
    address,
    content_type,
    disposition,
    file_address,
    is_servable,
    requested_names,
    served_file,
)
from defect_surrogate.report_server.run_folders import run_marker
from tests.defect_surrogate.report_server.conftest import HOSTILE, SECRET

SERVED = {"report.html", "results.csv", "campaign.json", "alloy.json", "overview.svg", "summary.md"}


def served(root, raw_path):
    names = requested_names(raw_path)
    if names is None:
        return None
    return served_file(names, root=root, is_run=lambda folder: run_marker(root, folder) is not None)


def content(root, path):
    found = served(root, path if isinstance(path, bytes) else f"/files/{path}".encode())
    if found is None:
        return None
    with found[1] as stream:
        return stream.read()


@pytest.fixture(scope="module")
def allowed(root):
    """Files that may be served: found by walking, without the code under test."""
    found = {}
    for folder, folders, files in os.walk(root):
        folders[:] = [one for one in folders if one not in ("archive", "prefect") and not one.startswith(".")]
        if "campaign.json" not in files and "alloy.json" not in files and "run.json" not in files:
            continue
        paths = [os.path.join(folder, name) for name in SERVED]
        for inner, _, names in os.walk(os.path.join(folder, "minima")):
            paths += [os.path.join(inner, name) for name in names if name.endswith(".vasp") and name[0] != "."]
        for path in paths:
            if os.path.isfile(path) and not os.path.islink(path) and HOSTILE not in path:
                found[os.stat(path).st_ino] = path
    return found


@pytest.mark.parametrize(
    "path",
    [
        "runs/hse/report.html",
        "runs/hse/results.csv",
        "runs/hse/campaign.json",
        "runs/hse/overview.svg",
        "runs/hse/minima/CdTe/v_Cd_0/Unperturbed.vasp",
        "runs/sweep/alloy.json",
        "runs/sweep/compositions/CdTe/report.html",
        "runs/old/report.html",
        "campaigns/tellurides/hosts/CdTe/report.html",
        "runs/%68se/report.html",
    ],
)
def test_files_of_runs_are_served(root, path):
    assert content(root, path)


def test_every_structure_of_a_report_is_served(root, missed):
    assert len(missed.structures) > 3
    for file in missed.structures:
        assert content(root, file_address(("runs", "sweep", "compositions", "CdTe"), file).encode())


@pytest.mark.parametrize(
    "path",
    [
        "",
        "secret.txt",
        "runs/hse",
        "runs/hse/",
        "runs/hse/report.html/",
        "runs//hse/report.html",
        "runs/hse/./report.html",
        "runs/hse/REPORT.HTML",
        "runs/hse/run.json",
        "runs/hse/POTCAR",
        "runs/hse/.lock",
        "runs/hse/prefect/prefect.db",
        "runs/hse/archive/campaign.json",
        "runs/hse/archive/units/CdTe/unit.json",
        "runs/hse/minima/POTCAR",
        "runs/hse/minima/.hidden.vasp",
        "runs/hse/minima/out.vasp",
        "runs/hse/minima/out/1.vasp",
        "runs/hse/summary.md",
        "runs/link/report.html",
        "runs/out/campaign.json",
        "archive/campaign.json",
        "runs/report.html",
        "runs/sweep/compositions/report.html",
        "runs/hse/minima/../report.html",
        "runs/hse/../hse/report.html",
        "../service/runs/hse/report.html",
        "runs/hse/%2e%2e/hse/report.html",
        "runs/hse/%252e%252e/hse/report.html",
        "runs/hse/..%2fhse/report.html",
        "runs%2fhse%2freport.html",
        "runs/hse/minima%2fCdTe%2fv_Cd_0%2fUnperturbed.vasp",
        "runs/hse/..%5chse/report.html",
        "runs/hse\\report.html",
        "runs/hse/%c0%ae%c0%ae/hse/report.html",
        "runs/hse/%e0%80%ae%e0%80%ae/report.html",
        "runs/hse/report.html%00",
        "runs/hse/report.html%00.vasp",
        "runs/hse/minima/%00/x.vasp",
        "runs/hse/report.html%0a",
        "%0aruns/hse/report.html",
        "runs/hse/minima/%22.vasp",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "runs/" + "a" * 5000 + "/report.html",
        "a/" * 5000 + "report.html",
        "%zz/%",
    ],
)
def test_nothing_else_is_served(root, path):
    assert content(root, path) is None


def test_a_long_address_costs_little(root):
    began = time.process_time()
    for path in ("a/" * 32000, "runs/hse/" + "minima/" * 8000 + "x.vasp", "%2e" * 20000, "a" * 65000):
        assert content(root, path) is None
    assert served_file(("a",) * 5000, root=root, is_run=lambda names: run_marker(root, names) is not None) is None
    assert time.process_time() - began < 1.0


def test_an_absolute_path_below_the_prefix_is_a_name(root):
    assert content(root, quote(str(root / "secret.txt"), safe="")) is None
    assert content(root, quote(str(root / "runs/hse/report.html"))) is None


@pytest.mark.parametrize("name", [HOSTILE, os.fsdecode(b"latin-\xe9")])
def test_names_that_a_header_or_a_log_could_take_amiss_are_not_served(root, name):
    raw = b"/files/runs/" + quote_from_bytes(os.fsencode(name), safe="").encode() + b"/campaign.json"
    assert requested_names(raw) == ("runs", name, "campaign.json")
    assert (root / "runs" / name / "campaign.json").is_file()
    assert content(root, raw) is None


def test_a_fifo_is_not_waited_for(root, tmp_path):
    (tmp_path / "campaign.json").write_text("{}")
    os.mkfifo(tmp_path / "report.html")
    (tmp_path / "minima" / "a.vasp").mkdir(parents=True)
    assert content(tmp_path, "report.html") is None
    assert content(tmp_path, "minima/a.vasp") is None
    assert content(tmp_path, "campaign.json") == b"{}"


def test_what_becomes_a_link_meanwhile_is_not_followed(root, outside, tmp_path):
    """The catalogue still takes the folder for one of a run."""
    (tmp_path / "run").symlink_to(outside)
    assert served_file(("run", "campaign.json"), root=tmp_path, is_run=lambda names: names == ("run",)) is None
    assert (tmp_path / "run" / "campaign.json").read_text() == SECRET


def test_no_descriptor_stays_open(root):
    before = len(os.listdir("/proc/self/fd"))
    for path in ("runs/hse/report.html", "runs/hse/minima/out/1.vasp", "runs/hse/minima", "runs/nothing/report.html"):
        content(root, path)
    assert len(os.listdir("/proc/self/fd")) == before


_PIECES = st.sampled_from(
    [
        *(b"runs", b"hse", b"sweep", b"compositions", b"CdTe", b"archive", b"minima", b"v_Cd_0", b"link", b"out"),
        *(
            b"report.html",
            b"campaign.json",
            b"Unperturbed.vasp",
            b"POTCAR",
            b".lock",
            b"1.vasp",
            b"out.vasp",
            b"..",
            b".",
        ),
        *(
            b"%2e%2e",
            b"%2f",
            b"%5c",
            b"%00",
            b"%c0%ae",
            b"%252e",
            b"",
            b"%0a",
            b"\\",
            b"//",
            b"/etc/passwd",
            b"secret.txt",
        ),
    ]
)
_PATHS = st.one_of(
    st.lists(st.one_of(_PIECES, st.binary(max_size=4)), max_size=9).map(b"/".join),
    st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.text(max_size=40).map(lambda text: quote(text, safe="/", errors="replace").encode()),
    st.lists(_PIECES, max_size=6).map(b"".join),
)


@settings(max_examples=600, deadline=None)
@given(path=st.one_of(_PATHS, _PATHS.map(lambda path: b"runs/hse/" + path)))
def test_whatever_is_asked_for_is_a_file_of_a_run(root, allowed, path):
    found = served(root, b"/files/" + path)
    if found is not None:
        with found[1] as stream:
            assert os.fstat(stream.fileno()).st_ino in allowed
            assert SECRET.encode() not in stream.read()


@given(
    names=st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1), max_size=4)
)
def test_an_address_leads_back_to_its_names(names):
    expected = None if {".", ".."} & set(names) else tuple(names)
    assert requested_names(address("files", *names).encode()) == expected


def test_types_are_those_of_the_allow_list():
    assert content_type(("report.html",)) == "text/html; charset=utf-8"
    assert content_type(("minima", "a", "b", "c.vasp")) == "text/plain; charset=utf-8"
    for names in ((), ("minima",), ("x.vasp",), ("minima", "x.html"), ("a", "report.html"), ("minima", "..", "x.vasp")):
        assert content_type(names) is None


def test_addresses_of_files_that_are_not_served_are_none():
    run = ("runs", "a b")
    assert file_address(run, "minima/<x>/1_Dimer.vasp") == "/files/runs/a%20b/minima/%3Cx%3E/1_Dimer.vasp"
    for file in ("../POTCAR", "minima/../../x.vasp", "/etc/x.vasp", "minima/\udce9.vasp", 'minima/".vasp', ""):
        assert file_address(run, file) is None
    assert file_address((*run, HOSTILE), "report.html") is None


@pytest.mark.parametrize(
    "name", ["a.vasp", "Bob's <b>.vasp", "ü.vasp", "x;y=z.vasp", "\u202egpj.vasp", "a" * 300, 'a"\r\nX: y']
)
def test_a_disposition_names_the_file_and_nothing_more(name):
    header = disposition(name, shown=False)
    assert header.isascii()
    assert header.isprintable()
    message = Message()
    message["Content-Disposition"] = header
    assert message.get_content_disposition() == "attachment"
    assert {key for key, _ in message.get_params(header="Content-Disposition")} <= {
        "attachment",
        "filename",
        "filename*",
    }
    assert "\u202e" not in (message.get_filename() or "")


def test_servable_names():
    assert all(map(is_servable, ["CdTe", "Bob's", "a b", "ü", "<x>", "1_Bond_Distortion_-30.0%.vasp"]))
    assert not any(map(is_servable, ["", ".", "..", ".x", 'a"', "a\\", "a\nb", "a\0", "\u2028", "\udce9", "\x85"]))
