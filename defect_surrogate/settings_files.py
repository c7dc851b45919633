"""Settings read from YAML files, and written to them."""

from collections.abc import Mapping
from pathlib import Path

import yaml
from pydantic import ValidationError

from defect_surrogate.errors import SettingsError
from defect_surrogate.settings import SearchSettings, SettingsT


def read_settings(
    path: Path,
    kind: type[SettingsT] = SearchSettings,  # type: ignore[assignment]
    defaults: Mapping[str, object] | None = None,
) -> SettingsT:
    """Read a YAML settings file.

    Parameters
    ----------
    path
        YAML file whose top-level keys are the fields of ``kind``.
    kind
        What the settings are of.
    defaults
        Of keys that the file may lack.

    Returns
    -------
    Section
        The settings, defaults filled in.

    Raises
    ------
    SettingsError
        If the file cannot be read or is not YAML, or if a key or a value is not valid; each fault names its key and value.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise SettingsError(f"{path}: cannot be read as YAML: {error}") from error
    if content is not None and not isinstance(content, dict):
        raise SettingsError(f"{path}: must hold sections such as 'surrogate:', found {type(content).__name__}")
    try:
        return kind.model_validate(dict(defaults or {}) | (content or {}))
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc']) or kind.__name__}: {fault['msg']} (got {fault['input']!r})"
            for fault in error.errors()
        )
        raise SettingsError(f"{path}: {faults}") from error


def write_settings(settings: SearchSettings, path: Path) -> None:
    """Write all settings, defaults included, as YAML that ``read_settings`` reads back to the same value.

    Parameters
    ----------
    settings
        What to write.
    path
        File to write; its folder must exist.
    """
    path.write_text(yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False), encoding="utf-8")
