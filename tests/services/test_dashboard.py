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
        self._group = group
        self.page.goto(group.api.removesuffix("/api"))
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
    page.get_by_role("tab", name="Description").click()
    visitor.picture("1-deployment")
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Custom run").click()
    fill_in(page, "Name", "tellurides")
    fill_in(page, "Folder", "hosts", kind="str")
    fill_in(page, "Settings", "tiny.yaml", kind="str")
    visitor.picture("2-form")
    page.get_by_role("button", name="Submit", exact=True).click()
    page.wait_for_timeout(2000)
    visitor.picture("3-submitted")
    group.wait_for("tellurides", "Completed")
    (run,) = group.runs(flow_runs={"name": {"any_": ["tellurides"]}})
    page.goto(f"{group.api.removesuffix('/api')}/v2/runs/flow-run/{run['id']}")
    expect(page.get_by_text("Completed").first).to_be_visible(timeout=30_000)
    visitor.picture("4-run")
    return visitor


def test_a_campaign_started_from_the_form_ends_with_its_hosts_searched(run_page, group):
    assert (group.root / "campaigns" / "tellurides" / "hosts" / "CdTe" / "report.html").is_file()
    print(run_page.page.inner_text("main"))
