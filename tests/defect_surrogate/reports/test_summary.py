import dataclasses

from defect_surrogate.reports.summary import summary_markdown, summary_text, table_rows


def test_rows_have_the_same_columns(missed, analysed):
    (miss,), (found,) = table_rows(missed.campaign), table_rows(analysed.campaign)
    assert list(miss) == list(found)
    assert miss["full reference search"] == "missed (+0.755 eV), 25 of 26 finished"
    assert (miss["sampling structures"], miss["surrogate minima"], miss["reference relaxations"]) == ("26", "1", "2")
    assert (found["energy lowering"], found["new bonds"]) == ("−0.755 eV", "Te–Te dimer, 2.75 Å")


def test_unknown_hit_is_no_verdict(missed):
    (host,) = missed.campaign.hosts
    (vacancy,) = host.vacancies
    for finished, verdict in ((3, "3 of 26 finished"), (26, "not known yet")):
        comparison = dataclasses.replace(vacancy.comparison, full_reference_finished=finished, hit=None)
        changed = dataclasses.replace(host, vacancies=(dataclasses.replace(vacancy, comparison=comparison),))
        (row,) = table_rows(dataclasses.replace(missed.campaign, hosts=(changed,)))
        assert row["full reference search"] == verdict


def test_unfinished_units_are_counted(missed):
    (host,) = missed.campaign.hosts
    (vacancy,) = host.vacancies
    changed = dataclasses.replace(host, vacancies=(dataclasses.replace(vacancy, unfinished=12),))
    (row,) = table_rows(dataclasses.replace(missed.campaign, hosts=(changed,)))
    assert row["no result yet"] == "12"


def test_text_cannot_command_the_terminal(analysed):
    (host,) = analysed.campaign.hosts
    hostile = dataclasses.replace(analysed.campaign, hosts=(dataclasses.replace(host, name="Cd\x1b[31mTe\rx"),))
    text = summary_text(hostile)
    assert "\x1b" not in text
    assert "\r" not in text
    assert r"Cd\x1b[31mTe\rx" in text


def test_markdown_escapes_what_is_from_outside(analysed):
    (host,) = analysed.campaign.hosts
    hostile = dataclasses.replace(
        analysed.campaign, hosts=(dataclasses.replace(host, name="<script>[x](http://y)\n# z"),)
    )
    markdown = summary_markdown(hostile)
    assert r"\<script\>\[x\](http://y) \# z" in markdown
    assert "<script>" not in markdown.replace(r"\<script\>", "")


def test_empty_campaign_says_so(analysed):
    empty = dataclasses.replace(analysed.campaign, hosts=())
    assert summary_text(empty) == summary_markdown(empty) == "No vacancy was searched.\n"
    assert table_rows(empty) == []
