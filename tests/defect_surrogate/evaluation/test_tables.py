"""An evaluation written and read back, and the table."""

import json

import pytest

from defect_surrogate.errors import ReportError
from defect_surrogate.evaluation import (
    evaluate,
    evaluation_json,
    evaluation_markdown,
    evaluation_rows,
    read_evaluation,
)


@pytest.fixture
def evaluation(dataset, predict_with):
    return evaluate(predict_with({8: 0.3}), dataset, update_references=True)


def test_json_is_strict_and_reads_back_to_the_same_value(evaluation, tmp_path):
    path = tmp_path / "evaluation.json"
    path.write_text(evaluation_json(evaluation))
    assert read_evaluation(path) == evaluation
    content = json.loads(path.read_text())
    assert content["defects"]["relative_energy"] == {
        "mae": pytest.approx(75),
        "rmse": pytest.approx(86.6025),
        "count": 4,
    }
    assert content["bulk"]["spearman"] is None


@pytest.mark.parametrize("text", ["", "{}", '{"defects": 1', "[]"])
def test_what_is_no_evaluation_is_refused(text, tmp_path):
    path = tmp_path / "evaluation.json"
    path.write_text(text)
    with pytest.raises(ReportError, match="cannot be read as an evaluation"):
        read_evaluation(path)


def test_table_has_a_row_for_each_defect_and_bulk(evaluation):
    rows = {row["frames of"]: row for row in evaluation_rows(evaluation)}
    assert list(rows) == ["all defects", "all bulk", "CdSe/bulk", "CdSe/v_Cd_0", "CdTe/bulk", "CdTe/v_Cd_0"]
    assert rows["CdTe/v_Cd_0"]["energy (meV/atom)"] == "25.0 (50.0)"
    assert rows["CdTe/v_Cd_0"]["references updated (meV/atom)"] == "25.0 (50.0)"
    assert (rows["CdTe/v_Cd_0"]["ρ"], rows["CdSe/v_Cd_0"]["ρ"]) == ("1.00", "–")
    assert rows["CdSe/bulk"]["stress (GPa)"] == "–"


def test_markdown_says_what_was_compared(evaluation, dataset, predict_with):
    text = evaluation_markdown(evaluation)
    assert "HSE06 (VASP)" in text
    assert "M3GNet tuned" in text
    assert "Element references updated" in text
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1
    assert len(table) == 2 + 6
    plain = evaluate(predict_with(), dataset)
    assert "references updated" not in evaluation_markdown(plain)
