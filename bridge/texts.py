"""Texts: values filled into translated templates."""

from typing import Any


class _Values(dict[str, Any]):
    """Values by name; a field that has none is shown as it stands."""

    def __missing__(self, name: str) -> str:
        return f"{{{name}}}"


def fill(template: str, **values: Any) -> str:  # noqa: ANN401 - anything that can be formatted
    """Fill values into a translated template with fields such as `{people}`.

    A translation may have other fields than the template, or broken ones: that costs the value,
    never the panel.
    """
    try:
        return template.format_map(_Values(values))
    except (ValueError, IndexError, AttributeError, TypeError):
        return template
