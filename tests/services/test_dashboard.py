"""The dashboard as a person uses it: log in, fill in the form of a campaign, watch it, open its artifacts and its report."""

import os
import re
from pathlib import Path

import pytest
import yaml
from group import QUICK, Group
from playwright.sync_api import Browser, Page, expect, sync_playwright

from flows.serve.place import auth_of

pytestmark = pytest.mark.timeout(600)

PICTURES = os.environ.get("DEFECT_SURROGATE_PICTURES")
"""Folder for pictures of the pages, to be looked at; none are kept without."""


@pytest.fixture(scope="module")
def group(tmp_path_factory):
    with Group(tmp_path_factory.mktemp("group")) as group:
        group.host("CdTe")
        (group.root / "tiny.yaml").write_text(yaml.safe_dump(QUICK))
        yield group


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        path = next((path for path in ("/usr/bin/chromium", "/usr/bin/chromium-browser") if Path(path).exists()), None)
        if path is None:
            pytest.fail("there is no browser: install Debian's chromium")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visitor:
    """A person with a browser, who has logged in."""

    def __init__(self, browser: Browser, group: Group) -> None:
        self.page = browser.new_page(viewport={"width": 1300, "height": 1000})
        self.asked: set[str] = set()
        self.page.on("response", lambda answer: self.asked.add(answer.url.split("/")[2]))
        self.dashboard = f"{group.api.removesuffix('/api')}/v2"
        self.page.goto(self.dashboard)
        self.page.get_by_role("textbox").or_(self.page.locator("input[type=password]")).first.fill(auth_of(group.root))
        self.page.keyboard.press("Enter")
        expect(self.page.get_by_role("link", name="Deployments")).to_be_visible(timeout=30_000)

    def picture(self, name: str) -> None:
        if PICTURES is not None:
            self.page.wait_for_timeout(1500)
            self.page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True)


def fill_in(page: Page, label: str, text: str, *, kind: str | None = None) -> None:
    """Fill in a field of a form, of which a kind has to be chosen first if it can be left out."""
    field = page.locator("label", has_text=re.compile(f"^{label}")).first.locator("xpath=ancestor::div[fieldset][1]")
    if kind is not None:
        field.get_by_role("tab", name=kind, exact=True).click()
    field.locator("textarea").fill(text)


@pytest.fixture(scope="module")
def run_page(group, browser):
    """The page of a campaign that was started from the form, and has ended."""
    visitor = Visitor(browser, group)
    page = visitor.page
    page.get_by_role("link", name="Deployments").click()
    page.locator("tr", has_text="run-campaign").get_by_role("link", name="campaign", exact=True).click()
    visitor.picture("1-deployment")
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Custom run").click()
    fill_in(page, "Name", "tellurides")
    fill_in(page, "Folder", "hosts", kind="str")
    fill_in(page, "Settings", "tiny.yaml", kind="str")
    visitor.picture("2-form")
    page.get_by_role("button", name="Submit", exact=True).click()
    visitor.picture("3-submitted")
    group.wait_for("tellurides", "Completed")
    (run,) = group.runs(flow_runs={"name": {"any_": ["tellurides"]}})
    page.goto(f"{visitor.dashboard}/runs/flow-run/{run['id']}")
    expect(page.get_by_text("Completed").first).to_be_visible(timeout=30_000)
    visitor.picture("4-run")
    return visitor


def opened(visitor: Visitor, kind: str) -> Page:
    """The latest version of an artifact."""
    page = visitor.page
    page.goto(f"{visitor.dashboard}/artifacts/key/{kind}")
    page.locator("main a[href*='/artifacts/artifact/']").first.click()
    expect(page.get_by_text("State Message")).to_be_visible(timeout=30_000)
    return page


def test_a_campaign_started_from_the_form_searches_its_hosts(run_page, group):
    assert (group.root / "campaigns" / "tellurides" / "hosts" / "CdTe" / "report.html").is_file()
    assert "1 of 1 hosts searched" in group.runs(flow_runs={"name": {"any_": ["tellurides"]}})[0]["state"]["message"]


def test_the_summary_of_a_campaign_leads_to_the_report_of_its_host(run_page):
    page = opened(run_page, "campaign-tellurides")
    expect(page.get_by_role("heading", name="tellurides, run 1: Completed")).to_be_visible()
    run_page.picture("5-summary")
    page.goto(page.get_by_role("link", name="report", exact=True).get_attribute("href"))
    expect(page.get_by_role("heading", name="Vacancies of CdTe")).to_be_visible()
    page.locator(".plot").first.scroll_into_view_if_needed()
    expect(page.locator(".js-plotly-plot").first).to_be_visible(timeout=30_000)
    run_page.picture("6-report")
    opened(run_page, "campaign-tellurides").get_by_role("link", name="All reports of the campaign").click()


def test_results_and_picture_of_a_host_are_shown(run_page):
    page = opened(run_page, "vacancies-cdte")
    expect(page.get_by_role("cell", name="CdTe/v_Cd_0")).to_be_visible()
    run_page.picture("7-table")
    picture = opened(run_page, "overview-cdte").get_by_role("img", name="artifact-image")
    expect(picture).to_be_visible()
    page.wait_for_function("element => element.naturalWidth > 0", arg=picture.element_handle())
    run_page.picture("8-picture")


def test_relaxations_have_names_that_read_a_bar_and_lines_of_what_was_found(run_page, group):
    runs = {run["name"]: run["id"] for run in group.runs()}
    page = run_page.page
    page.goto(f"{run_page.dashboard}/runs/flow-run/{runs['CdTe · 5 surrogate relaxations']}?tab=Artifacts")
    expect(page.get_by_text("CdTe · 5 surrogate relaxations: 5 of 5")).to_be_visible(timeout=30_000)
    reference = next(name for name in runs if "reference relaxations" in name)
    page.goto(f"{run_page.dashboard}/runs/flow-run/{runs[reference]}?tab=TaskRuns")
    expect(page.get_by_text("CdTe · v_Cd_0 · reference · Unperturbed").first).to_be_visible(timeout=30_000)
    run_page.picture("9-relaxations")
    logs = group.ask("logs/filter", logs={"flow_run_id": {"any_": [runs["CdTe · 5 surrogate relaxations"]]}})
    assert any("CdTe/v_Cd_0/Dimer/surrogate" in one["message"] and "steps" in one["message"] for one in logs)


def test_the_pages_of_the_report_server_are_open_on_this_machine(run_page, group):
    page = run_page.page
    for number, path in enumerate(("", "campaigns/tellurides/", "vacancies", "units")):
        answer = page.goto(f"http://127.0.0.1:{group.reports_port}/{path}")
        assert answer.status == 200
        run_page.picture(f"r{number}")
    expect(page.get_by_text("v_Cd_0").first).to_be_visible()


def test_the_dashboard_asks_nobody_but_the_service(run_page, group):
    assert run_page.asked == {f"127.0.0.1:{group.port}", f"127.0.0.1:{group.reports_port}"}
