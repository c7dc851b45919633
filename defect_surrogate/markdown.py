"""Tables in Markdown, for cards and pages."""

from collections.abc import Mapping, Sequence


def markdown_table(rows: Sequence[Mapping[str, str]], *, words: int = 1) -> list[str]:
    """Write a table.

    Parameters
    ----------
    rows
        Heading → cell, all with the same headings.
    words
        Number of columns, from the left, that hold words and are aligned left; numbers are aligned right.

    Returns
    -------
    list of str
        Its lines; none without rows.
    """
    if not rows:
        return []
    headings = list(rows[0])
    rules = ["---"] * words + ["---:"] * (len(headings) - words)
    return [f"| {' | '.join(line)} |" for line in (headings, rules, *(list(row.values()) for row in rows))]
