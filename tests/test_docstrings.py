"""Public docstrings: every parameter and field is described, and every number has its unit."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
UNITS = re.compile(
    r"Å|\bA\b|eV|GPa|kB|\bK\b|\bs\b|second|shape|\be\b|electrons|dimensionless|unit|speed-up|fraction|share|"
    r"factor|units of|cosine|ratio|seed|atoms|index|count|number|digit|step|between 0 and 1|bool|mean of|°|%",
    re.IGNORECASE,
)


def public_definitions():
    for package in ("defect_surrogate", "tasks", "flows"):
        for path in sorted((ROOT / package).rglob("*.py")):
            module = ast.parse(path.read_text())
            classes = [node for node in module.body if isinstance(node, ast.ClassDef)]
            for node in [*module.body, *(item for each in classes for item in each.body)]:
                if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                    yield pytest.param(node, id=f"{path.relative_to(ROOT)}:{node.name}")


def sections(docstring):
    """Return the numpydoc entries: name → the text below it."""
    entries, name = {}, None
    for line in docstring.splitlines():
        bare = line.strip()
        entry = re.fullmatch(r"(\w+(?:, \w+)*)( : .*)?", bare)
        if entry and not line.startswith(" "):
            name = entry[1]
            entries[name] = entry[2] or ""
        elif name is not None:
            entries[name] += " " + bare
    return entries


def is_number(annotation):
    return annotation is not None and bool(re.search(r"\bfloat\b|NDArray|ndarray", ast.unparse(annotation)))


@pytest.mark.parametrize("node", public_definitions())
def test_numbers_have_units_and_parameters_are_described(node):
    docstring = ast.get_docstring(node)
    assert docstring, "no docstring"
    described = sections(docstring)
    if isinstance(node, ast.ClassDef):
        fields = [item for item in node.body if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)]
        if not any(ast.unparse(d).startswith("dataclass") for d in node.decorator_list):
            return
        arguments = [(field.target.id, field.annotation) for field in fields if not field.target.id.startswith("_")]
        required = "Attributes\n" in docstring or "\n\n" in docstring
    else:
        every = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
        arguments = [(a.arg, a.annotation) for a in every if a.arg not in ("self", "cls")]
        required = "Parameters\n" in docstring
    for name, annotation in arguments:
        names = [text for key, text in described.items() if name in [part.strip() for part in key.split(",")]]
        if required:
            assert names, f"{name} is not described"
        if is_number(annotation):
            text = names[0] if names else docstring
            assert UNITS.search(text), f"{name}: {ast.unparse(annotation)} has no unit: {text!r}"
