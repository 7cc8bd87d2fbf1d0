"""A statement as one page of HTML, drawn from its JSON and nothing else."""

from collections.abc import Mapping
from typing import Any

import jinja2

from service.core.errors import ConfigurationError
from service.core.statements.canonical import canonical, digest
from service.statements import words
from service.statements.changes import changes
from service.statements.document import FORMAT

_TEMPLATE = "statement.html.j2"


def html(document: Mapping[str, Any]) -> str:
    """Return the page: no scripts, no resources from elsewhere; the same document is the same bytes.

    Raises:
        ConfigurationError: If the document is of another release's format.
    """
    if document.get("format") != FORMAT:
        msg = f"the statement is of format {document.get('format', 0)}, not {FORMAT}: only -o json shows it"
        raise ConfigurationError(msg)
    return (
        _environment().get_template(_TEMPLATE).render(s=document, hash=digest(canonical(document)), **_shown(document))
    )


def _shown(document: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "changes": changes(document),
        "verdicts": words.VERDICTS,
        "statuses": words.STATUSES,
        "results": words.RESULTS,
    }


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("service", "data"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        name: getattr(words, name)
        for name in (
            "duration",
            "grouped",
            "percent",
            "target",
            "instant",
            "money",
            "month",
            "word",
            "notice",
            "unit",
            "promise",
            "clause",
            "settled_by",
        )
    }
    return environment
