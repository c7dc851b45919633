import dataclasses

from defect_surrogate.reports.summary import summary_markdown, summary_text, table_rows


def test_rows_have_the_same_columns(missed, analysed):
    (miss,), (found,) = table_rows(missed.campaign), table_rows(analysed.campaign)
    assert list(miss) == list(found)
    assert miss["full reference search"] == "missed (+0.755 eV)"
    assert (miss["sampling structures"], miss["surrogate minima"], miss["reference relaxations"]) == ("26", "1", "2")
    assert (found["energy lowering"], found["new bonds"]) == ("−0.755 eV", "Te–Te dimer, 2.75 Å")


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
