"""The card of a model as a page for people."""

from defect_surrogate.markdown import markdown_table
from defect_surrogate.surrogates.card import HeldOutErrors, ModelCard

COLUMNS = {
    "E (meV/atom)": "energy_mae",
    "E relative (meV/atom)": "relative_energy_mae",
    "E relative < 5 eV (meV/atom)": "low_energy_mae",
    "F (meV/Å)": "force_mae",
    "S (GPa)": "stress_mae",
    "Spearman": "spearman",
}
"""Heading of each error, and its name in ``HeldOutErrors``."""


def card_text(card: ModelCard) -> str:
    """Describe a model.

    Parameters
    ----------
    card
        Its card.

    Returns
    -------
    str
        Markdown.
    """
    split = card.split
    lines = [
        f"# {card.architecture} for {card.level_of_theory}",
        "",
        f"Model `{card.digest[:16]}`, {card.parameters} weights, made {card.created} by",
        "",
        f"    {card.command}",
        "",
        f"- Elements: {', '.join(card.elements)}. Made for {card.level_of_theory}; its energies mean nothing beside others.",
        f"- Started from {'random weights' if card.base is None else f'model `{card.base[:16]}`'}; {card.epochs} epochs, "
        f"weights of epoch {card.best_epoch}.",
        f"- Reference energies: {card.reference_energies_from}.",
        f"- Trained on {split.training_frames} frames of {', '.join(split.training)}; validated on "
        f"{split.validation_frames} {_validation(split.validation_unseen)}.",
        f"- Trained with {', then '.join(card.ran_on)}.",
        f"- Data: {', '.join(f'`{digest[:16]}`' for digest in card.data)}.",
        "",
        f"Mean absolute errors on {_held_out(card)}, those of the bulk left out:",
        "",
        held_out_table(card),
        "",
    ]
    if card.forced:
        reason = "although worse than a model above" if card.held_out else "with nothing to measure it on"
        lines += [f"Published by force, {reason}.", ""]
    if card.base_learnt is None:
        lines += ["What its base has learnt from is not known: the compositions held out may be among it.", ""]
    if card.ensemble:
        lines += [f"Ensemble: {len(card.ensemble)} further members in `ensemble/`, which differ in their seeds.", ""]
    lines += ["Settings:", "", "```yaml", card.settings.rstrip(), "```", ""]
    return "\n".join(lines)


def _held_out(card: ModelCard) -> str:
    split = card.split
    if split.test or not card.held_out:
        return f"{split.test_frames} held-out frames of {', '.join(split.test) or 'no composition'}"
    return f"the {split.validation_frames} validation frames, by which the epoch was chosen, since no composition was held out"


def _validation(unseen: list[str]) -> str:
    if not unseen:
        return "frames of the same"
    return f"frames, some of {', '.join(unseen)}, of which none is in training"


def held_out_table(card: ModelCard) -> str:
    """Return the errors on held-out frames, the model first, as a Markdown table."""
    return "\n".join(markdown_table([_row(one) for one in card.held_out]))


def _row(errors: HeldOutErrors) -> dict[str, str]:
    values = {heading: getattr(errors, name) for heading, name in COLUMNS.items()}
    shown = {heading: "–" if value is None else f"{value:.3g}" for heading, value in values.items()}
    return {"model": errors.name} | shown
