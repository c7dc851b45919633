"""The paper's comparison on compositions that the model never saw: search with it, and relax all starts at the reference level.

    python benchmarks/family/search.py [--surrogate models/gfn1-defects] [--name host-search]

The full reference searches come from data/; what is run are the surrogate's relaxations and the reference relaxations of its
minima. Results go to docs/results/<name>.json and .md, pictures of what was missed beside them. Resumable.
"""

import argparse
import dataclasses
import json
from pathlib import Path

from campaign import ROOT, RUNS, UNSEEN, bundle, defect_surrogate, finish
from datasets import DATASET, make_dataset
from explain import explain_miss
from hosts import main as write_hosts
from pictures import draw_miss
from quiet import at_quiet_times
from search_page import page

from defect_surrogate.dataset.store import read_dataset
from defect_surrogate.evaluation import Evaluation, HostSearchResults, evaluate, search_figures
from defect_surrogate.reports.files import read_campaign
from defect_surrogate.surrogates import load_potential, predict
from defect_surrogate.surrogates.card import read_card
from flows.evaluate import host_search_results, learnt_compositions, write_host_search
from flows.results import unfinished_count

SEARCHES = ROOT / "runs" / "search"
RESULTS = ROOT / "docs" / "results"


def search(host: str, surrogate: str, name: str) -> Path:
    """Search a host, or what is missing of it, and return its campaign.json; units that broke are named there."""
    folder, crystal = SEARCHES / name / host, RUNS / "hosts" / f"{host}.cif"
    finish("unpack", bundle(host), "--out", folder)
    settings = Path(__file__).parent / "search.yaml"
    given = ("--settings", settings, "--surrogate", surrogate, "--full-reference")
    done = defect_surrogate("search", crystal, *given, "--out", folder)
    report = folder / "campaign.json"
    if not done and (not report.exists() or unfinished_count(read_campaign(report))):
        raise SystemExit(f"{host}: not finished; run this again")
    return report


def check_unseen(surrogate: str, dataset_hosts: dict[str, str]) -> None:
    """Stop if the surrogate has learnt from a host that is to be called unseen."""
    if learnt := sorted((learnt_compositions(surrogate) or frozenset()) & set(dataset_hosts.values())):
        raise SystemExit(f"{surrogate} has learnt from {', '.join(learnt)}")


def held_out_errors(surrogate: str, hosts: list[str]) -> Evaluation:
    """Return the errors of the surrogate on the frames of hosts."""
    dataset = read_dataset(DATASET).select(lambda frame: frame.host in hosts)
    check_unseen(surrogate, {frame.host: frame.composition for frame in dataset.frames})
    return evaluate(predict(load_potential(surrogate), dataset.frames), dataset)


def results(campaigns: list[Path], evaluation: Evaluation) -> HostSearchResults:
    """Return the figures of merit, with times as if nothing else had run."""
    found = host_search_results(campaigns, evaluation)
    vacancies = {
        (host.name, vacancy.name): vacancy
        for path in campaigns
        for host in read_campaign(path).hosts
        for vacancy in host.vacancies
    }
    searched = tuple(at_quiet_times(one, vacancies[one.host, one.defect]) for one in found.per_defect)
    figures = search_figures(searched, evaluation=evaluation)
    return dataclasses.replace(found, unseen=figures, per_defect=searched)


def misses(campaigns: list[Path], surrogate: str, name: str) -> list[str]:
    """Draw and explain the defects whose ground state was missed, and return the lines that say so."""
    lines, potential = [], load_potential(surrogate)
    for path in RESULTS.glob(f"{name}-*.svg"):
        if path.stem.removeprefix(f"{name}-").split("-")[0] in UNSEEN:
            path.unlink()
    for path in campaigns:
        for host in read_campaign(path).hosts:
            for vacancy in host.vacancies:
                if vacancy.comparison is not None and vacancy.comparison.hit is False:
                    picture = f"{name}-{host.name}-{vacancy.name}.svg"
                    draw_miss(path.parent, host.name, vacancy, RESULTS / picture)
                    lines += [explain_miss(path.parent, host, vacancy, potential), ""]
                    lines += [f"![{host.name} {vacancy.name}: missed]({picture})", ""]
    return lines


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--surrogate", default="models/gfn1-defects")
    parser.add_argument("--name", default="host-search")
    options = parser.parse_args()
    write_hosts(RUNS / "hosts")
    make_dataset()
    hosts = [host for host in UNSEEN if bundle(host).exists()]
    evaluation = held_out_errors(options.surrogate, hosts)
    campaigns = [search(host, options.surrogate, options.name) for host in hosts]
    found = results(campaigns, evaluation)
    write_host_search(found, RESULTS / f"{options.name}.json")
    command = f"python benchmarks/family/search.py --surrogate {options.surrogate} --name {options.name}"
    chgnet = RESULTS / "host-search-chgnet.json"
    beside = json.loads(chgnet.read_text()) if chgnet.exists() and options.name != "host-search-chgnet" else None
    missed = misses(campaigns, options.surrogate, options.name)
    searched = [(host.name, one) for path in campaigns for host in read_campaign(path).hosts for one in host.vacancies]
    fallen = RESULTS / "host-stability.json"
    stability = json.loads(fallen.read_text()) if fallen.exists() else ()
    card = read_card(Path(options.surrogate)) if Path(options.surrogate).is_dir() else None
    text = page(
        found,
        searched,
        command=command,
        chgnet=beside,
        misses=missed,
        stability=stability,
        trained_on=() if card is None else card.split.training,
    )
    (RESULTS / f"{options.name}.md").write_text(text)
