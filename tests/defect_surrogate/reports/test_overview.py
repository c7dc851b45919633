import dataclasses
import hashlib
import subprocess
import sys
import threading
import warnings
from xml.etree import ElementTree

import matplotlib as mpl
import pytest

from defect_surrogate.reports.figures import FROM_SURROGATE_COLOUR, REFERENCE_COLOUR, SURROGATE_COLOUR
from defect_surrogate.reports.files import write_report_files
from defect_surrogate.reports.overview import LONGEST_TITLE, MOST_PANELS, write_overview

SVG = "{http://www.w3.org/2000/svg}"


def with_vacancies(case, *vacancies, **changes):
    (host,) = case.campaign.hosts
    return dataclasses.replace(case.campaign, hosts=(dataclasses.replace(host, vacancies=vacancies, **changes),))


def texts(path):
    return [element.text for element in ElementTree.parse(path).iter(f"{SVG}text")]


def panels(path):
    return [text for text in texts(path) if text and "/v_" in text]


@pytest.fixture
def vacancy(analysed):
    return analysed.campaign.hosts[0].vacancies[0]


def test_each_series_that_occurs_is_drawn_in_the_colour_of_the_report(missed, analysed, tmp_path):
    drawn = write_overview(missed.campaign, tmp_path).read_text()
    assert all(colour.lower() in drawn for colour in (SURROGATE_COLOUR, REFERENCE_COLOUR, FROM_SURROGATE_COLOUR))
    assert {"Surrogate", "Reference, from sampling structures", "Reference, from surrogate minima"} < set(
        texts(tmp_path / "overview.svg")
    )
    drawn = write_overview(analysed.campaign, tmp_path).read_text()
    assert SURROGATE_COLOUR.lower() not in drawn
    assert "Hollow: not converged" not in drawn


def test_a_panel_says_what_was_found(analysed, missed, tmp_path):
    shown = texts(write_overview(analysed.campaign, tmp_path))
    assert {"CdTe/v_Cd_0", "−0.755 eV; Te–Te dimer", "Ground state", "E − E(Unperturbed) (eV)"} <= set(shown)
    shown = texts(write_overview(missed.campaign, tmp_path))
    assert "Hollow: not converged" in shown


def test_the_lowest_of_a_dozen_come_first_and_the_rest_is_counted(analysed, vacancy, tmp_path):
    lowerings = [None, *(-0.1 * i for i in range(13))]
    many = [
        dataclasses.replace(vacancy, name=f"v_{i}", energy_lowering=lowering) for i, lowering in enumerate(lowerings)
    ]
    path = write_overview(with_vacancies(analysed, *many), tmp_path)
    assert [title.removeprefix("CdTe/") for title in panels(path)] == [f"v_{i}" for i in range(13, 1, -1)]
    assert len(panels(path)) == MOST_PANELS
    assert "and 2 more vacancies" in texts(path)
    path = write_overview(with_vacancies(analysed, *many[:13]), tmp_path)
    assert "and 1 more vacancy" in texts(path)
    path = write_overview(with_vacancies(analysed, *many[:12]), tmp_path)
    assert not [text for text in texts(path) if "more vacanc" in text]


def test_the_surrogate_alone_has_a_ground_state_too(missed, tmp_path):
    (vacancy,) = missed.campaign.hosts[0].vacancies
    alone = dataclasses.replace(
        vacancy,
        ground_state=None,
        energy_lowering=None,
        minima=None,
        reference_relaxations=0,
        relaxations=tuple(one for one in vacancy.relaxations if one.level == "surrogate"),
    )
    shown = texts(write_overview(with_vacancies(missed, alone), tmp_path))
    assert "surrogate alone; no new bonds" in shown


def test_without_a_result_or_an_unperturbed_that_is_said(analysed, vacancy, tmp_path):
    none = dataclasses.replace(vacancy, ground_state=None, energy_lowering=None)
    assert "no result at the reference level" in texts(write_overview(with_vacancies(analysed, none), tmp_path))
    rest = tuple(one for one in vacancy.relaxations if one.label != "Unperturbed")
    lowest = dataclasses.replace(vacancy, energy_lowering=None, relaxations=rest)
    shown = texts(write_overview(with_vacancies(analysed, lowest), tmp_path))
    assert "relative to the lowest; Te–Te dimer" in shown


def test_where_nothing_was_searched_an_earlier_picture_goes(analysed, vacancy, tmp_path):
    assert write_overview(with_vacancies(analysed), tmp_path) is None
    path = write_overview(analysed.campaign, tmp_path)
    assert path == tmp_path / "overview.svg"
    lost = dataclasses.replace(
        vacancy, relaxations=tuple(dataclasses.replace(one, energy=None) for one in vacancy.relaxations)
    )
    assert write_overview(with_vacancies(analysed, lost), tmp_path) is None
    assert list(tmp_path.iterdir()) == []


HOSTILE = [
    "<script>alert(1)</script>",
    '"><image href="http://evil.example/x"/>',
    "--><script>x</script><!--",
    "]]>&amp;&lt;b&gt;",
    "$\\frac{1}{0$",
    "$x^2$",
    "\\input{/etc/passwd}",
    "a\x00\x08\x1b\ud800\ufffe\nb\u202ec",
    "名前 שם اسم",
    "x" * 300,
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_text(analysed, vacancy, tmp_path, name):
    changed = dataclasses.replace(
        vacancy, name=name, relaxations=tuple(dataclasses.replace(one, label=name) for one in vacancy.relaxations)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path = write_overview(with_vacancies(analysed, changed, name=name), tmp_path)
    tree = ElementTree.parse(path)
    assert {element.tag.removeprefix(SVG) for element in tree.iter() if element.tag.startswith(SVG)} <= {
        *("svg", "metadata", "title", "defs", "style", "g", "path", "text", "use", "clipPath", "rect")
    }
    for element in tree.iter():
        assert not [key for key in element.attrib if key.startswith("on")]
        assert element.get("{http://www.w3.org/1999/xlink}href", "#").startswith("#")
        assert element.get("href", "#").startswith("#")
    (title,) = (text for text in texts(path) if text and "/" in text and "−" not in text)
    assert len(title) <= LONGEST_TITLE + 1
    assert title.isprintable()
    assert title[:8] == "".join(char if char.isprintable() else "�" for char in f"{name}/{name}")[:8]


def test_the_bytes_are_the_same_whoever_draws(missed, tmp_path):
    write_report_files(missed.campaign, tmp_path, structures=missed.structures)
    code = (
        "import sys, hashlib; from pathlib import Path; from defect_surrogate.reports.files import read_campaign; "
        "from defect_surrogate.reports.overview import write_overview; folder = Path(sys.argv[1]); "
        "print(hashlib.sha256(write_overview(read_campaign(folder / 'campaign.json'), folder).read_bytes()).hexdigest())"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    before = dict(mpl.rcParams)
    digests = {done.stdout.strip()}

    def draw(number):
        path = write_overview(missed.campaign, tmp_path / f"{number}")
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())

    threads = [threading.Thread(target=draw, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(digests) == 1
    assert dict(mpl.rcParams) == before
    text = (tmp_path / "0" / "overview.svg").read_text()
    assert "<dc:date>" not in text
    assert "<text" in text
