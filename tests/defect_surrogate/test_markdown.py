"""Tables in Markdown."""

from defect_surrogate.markdown import markdown_table


def test_words_are_aligned_left_and_numbers_right():
    rows = [{"host": "CdTe", "defect": "v_Cd", "E (eV)": "-1.9"}, {"host": "ZnSe", "defect": "v_Zn", "E (eV)": "–"}]
    assert markdown_table(rows, words=2) == [
        "| host | defect | E (eV) |",
        "| --- | --- | ---: |",
        "| CdTe | v_Cd | -1.9 |",
        "| ZnSe | v_Zn | – |",
    ]


def test_nothing_is_no_table():
    assert markdown_table([]) == []
