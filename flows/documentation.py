"""The reference pages of what a group's people write: profiles of clusters, and campaign files.

``python -m flows.documentation docs/reference`` writes them; a test holds them up to date.
"""

import sys
from pathlib import Path

from defect_surrogate.reports.settings_documentation import settings_tables
from flows.campaigns.settings import Campaign
from flows.cluster.profile import ClusterProfile, Jobs, ResourceClass

_MADE = "<!-- Made by `python -m flows.documentation docs/reference`; edit the descriptions, not this file. -->"

_PROFILE = f"""\
# Profile of a cluster

{_MADE}

YAML with the keys below, all optional: `defect-surrogate cluster check slurm.yaml`. Templates are in `deployments/clusters`.
Unknown keys are refused. The defaults are our choice. See [how to run on a cluster](../how-to/run-on-a-cluster.md).
"""

_CAMPAIGN = f"""\
# Campaign file

{_MADE}

YAML with the keys below: `defect-surrogate campaign submit tellurides.yaml`. Without `name` it is named after the file; `hosts`
or `folder` is needed. Paths are meant from the folder of the file. `settings` has the keys of [a search](settings.md), or names
a file with them. Unknown keys are refused. The defaults are our choice. See [how to serve a group](../how-to/serve-a-group.md).
"""


def pages() -> dict[str, str]:
    """Make the pages.

    Returns
    -------
    dict of str to str
        Markdown by name of the file.
    """
    return {"cluster-profile.md": profile_page(), "campaign-file.md": campaign_page()}


def profile_page() -> str:
    """Make the page of the profile of a cluster.

    Returns
    -------
    str
        Markdown: a table of the profile, of a resource class, and of its jobs.
    """
    own = {name: field for name, field in ClusterProfile.model_fields.items() if name not in ("surrogate", "reference")}
    classes = {name: field for name, field in ResourceClass.model_fields.items() if name != "jobs"}
    lines = [_PROFILE]
    for title, fields in (
        ("The profile", own),
        ("`surrogate` and `reference`: a job of each class", classes),
        ("`jobs` of a class", Jobs.model_fields),
    ):
        table = settings_tables(fields)
        lines += [f"## {title}\n", *table[1:]]
    return "\n".join(lines)


def campaign_page() -> str:
    """Make the page of campaign files.

    Returns
    -------
    str
        Markdown: a table of the campaign, and of its budget.
    """
    fields = Campaign.model_fields
    own = settings_tables({name: field for name, field in fields.items() if name != "budget"})
    return "\n".join([_CAMPAIGN, "## The campaign\n", *own[1:], *settings_tables({"budget": fields["budget"]})])


if __name__ == "__main__":
    for name, text in pages().items():
        (Path(sys.argv[1]) / name).write_text(text, encoding="utf-8")
