"""The reference page of a cluster's profile.

``python -m flows.cluster.documentation docs/reference`` writes it; a test holds it up to date.
"""

import sys
from pathlib import Path

from defect_surrogate.reports.settings_documentation import settings_tables
from flows.cluster.profile import ClusterProfile, Jobs, ResourceClass

PAGE_NAME = "cluster-profile.md"

_INTRODUCTION = """\
# Profile of a cluster

<!-- Made by `python -m flows.cluster.documentation docs/reference`; edit the descriptions, not this file. -->

YAML with the keys below, all optional: `defect-surrogate cluster check slurm.yaml`. Templates are in `deployments/clusters`.
Unknown keys are refused. The defaults are our choice. See [how to run on a cluster](../how-to/run-on-a-cluster.md).
"""


def profile_page() -> str:
    """Make the page.

    Returns
    -------
    str
        Markdown: a table of the profile, of a resource class, and of its jobs.
    """
    own = {name: field for name, field in ClusterProfile.model_fields.items() if name not in ("surrogate", "reference")}
    classes = {name: field for name, field in ResourceClass.model_fields.items() if name != "jobs"}
    lines = [_INTRODUCTION]
    for title, fields in (
        ("The profile", own),
        ("`surrogate` and `reference`: a job of each class", classes),
        ("`jobs` of a class", Jobs.model_fields),
    ):
        table = settings_tables(fields)
        lines += [f"## {title}\n", *table[1:]]
    return "\n".join(lines)


if __name__ == "__main__":
    (Path(sys.argv[1]) / PAGE_NAME).write_text(profile_page(), encoding="utf-8")
