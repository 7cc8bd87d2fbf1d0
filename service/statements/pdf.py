"""A statement as PDF: the page of `service.statements.html`, printed."""

from typing import Any

from service.core.errors import ConfigurationError


def pdf(page: str) -> bytes:
    """Return a page as PDF; with the same release, libraries and fonts the same page is the same bytes.

    Raises:
        ConfigurationError: If the extra `pdf` or its system libraries are not installed.
    """
    try:
        from weasyprint import HTML  # noqa: PLC0415 -- an extra: most commands go without
    except ImportError as error:
        msg = "PDF needs weasyprint: pip install 'threenines[pdf]', or print the page of -o html"
        raise ConfigurationError(msg) from error
    except OSError as error:
        msg = f"PDF needs Pango: apt-get install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 ({error})"
        raise ConfigurationError(msg) from error
    made: bytes = HTML(string=page, url_fetcher=_nothing).write_pdf()
    return made


def _nothing(url: str, *_: Any, **__: Any) -> Any:  # noqa: ANN401 -- weasyprint's own shape
    msg = f"a statement needs nothing from elsewhere: {url}"
    raise ValueError(msg)
