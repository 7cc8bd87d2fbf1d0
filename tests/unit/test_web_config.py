"""Web configuration files: what is understood, what is refused, and how it is said."""

from pathlib import Path

import pytest

from collectors.web_config import ClientAuth, Tls, TlsVersion, WebConfig, read
from service.core import limits
from service.core.errors import ConfigurationError

HASH = "$2y$10$" + "a" * 53
TLS = "tls_server_config: {cert_file: c.pem, key_file: k.pem"


def _read(directory: Path, text: str) -> WebConfig:
    file = directory / "web.yml"
    file.write_text(text)
    return read(file)


def test_a_whole_file_is_understood(tmp_path: Path) -> None:
    """Every supported key counts; files are relative to the configuration's directory."""
    config = _read(
        tmp_path,
        f"""
tls_server_config:
  cert_file: node.pem
  key_file: /etc/tls/node.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.pem
  min_version: TLS13
  max_version: TLS13
http_server_config:
  http2: false
basic_auth_users:
  prometheus: {HASH}
""",
    )

    assert config == WebConfig(
        tls=Tls(
            cert_file=tmp_path / "node.pem",
            key_file=Path("/etc/tls/node.key"),
            client_auth=ClientAuth.REQUIRED,
            client_ca_file=tmp_path / "ca.pem",
            min_version=TlsVersion.TLS13,
            max_version=TlsVersion.TLS13,
        ),
        users={"prometheus": HASH},
    )
    assert config.authenticates


@pytest.mark.parametrize("text", ["", "{}", "basic_auth_users: {}", "http_server_config:\n"])
def test_a_file_may_ask_for_nothing(tmp_path: Path, text: str) -> None:
    """As at theirs: no TLS, no users, nobody authenticated."""
    config = _read(tmp_path, text)

    assert config == WebConfig()
    assert not config.authenticates


@pytest.mark.parametrize(
    ("text", "key", "mend"),
    [
        ("basic_auth_user: {}", "basic_auth_user:", "use basic_auth_users"),
        ("rate_limit: {burst: 1}", "rate_limit:", "not supported; remove it"),
        ("[]\n", "(file)", "keys and values"),
        ("7: {}", "7:", "quotes"),
        (f"{TLS}, ciphers: []}}", "tls_server_config.ciphers:", "not supported"),
        (f"{TLS}, client_allowed_sans: [a]}}", "tls_server_config.client_allowed_sans:", "not supported"),
        ("tls_server_config: {cert_file: c.pem}", "tls_server_config.key_file:", "missing"),
        ("tls_server_config: {key_file: c.pem}", "tls_server_config.cert_file:", "missing"),
        ("tls_server_config: yes", "tls_server_config:", "cert_file"),
        ("tls_server_config: {cert_file: 7, key_file: k}", "tls_server_config.cert_file:", "names a file"),
        (f"{TLS}, client_auth_type: RequireAnyClientCert}}", "client_auth_type:", "RequireAndVerifyClientCert"),
        (f"{TLS}, client_auth_type: RequireAndVerifyClientCert}}", "client_ca_file:", "authority"),
        (f"{TLS}, client_ca_file: ca.pem}}", "client_ca_file:", "checks nobody"),
        (f"{TLS}, min_version: TLS10}}", "min_version:", "TLS12, TLS13"),
        (f"{TLS}, min_version: TLS13, max_version: TLS12}}", "max_version:", "below min_version"),
        ("http_server_config: {http2: true}", "http_server_config.http2:", "write false"),
        ("http_server_config: {headers: {}}", "http_server_config.headers:", "not supported"),
        ("basic_auth_users: [a]", "basic_auth_users:", "a line"),
        ("basic_auth_users: {a: secret}", "basic_auth_users.a:", "htpasswd"),
        ("basic_auth_users: {a: 7}", "basic_auth_users.a:", "htpasswd"),
        (f'basic_auth_users: {{"a:b": {HASH}}}', "basic_auth_users.a:b:", "colon"),
        (f'basic_auth_users: {{"": {HASH}}}', "basic_auth_users.:", "a name"),
        ("basic_auth_users: {a: $2y$31$" + "a" * 53 + "}", "basic_auth_users.a:", "cost 31"),
        (f"basic_auth_users: {{a: {HASH}, a: {HASH}}}", "a:", "twice"),
        ("basic_auth_users: {a: [}", ":1:", "no YAML"),
        ("basic_auth_users: &a {b: *a}", ":1:", "no YAML"),
        ("basic_auth_users: !!python/object:os.system {}", ":1:", "no YAML"),
        ("\ttls", "", "no YAML"),
        ("\x00", "", "no YAML"),
    ],
)
def test_what_is_wrong_is_named_with_file_key_and_mend(tmp_path: Path, text: str, key: str, mend: str) -> None:
    """Nothing wrong or unsupported passes in silence: a protection that is ignored is a hole."""
    with pytest.raises(ConfigurationError) as caught:
        _read(tmp_path, text)

    assert str(caught.value).startswith(str(tmp_path / "web.yml"))
    assert key in str(caught.value)
    assert mend in str(caught.value)


def test_files_that_cannot_be_text_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing file, a directory, bytes that are no text and a file beyond every bound."""
    monkeypatch.setattr(limits, "WEB_CONFIG_BYTES", 100)
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "large").write_text("#" * 101)

    for name, text in {"none": "name a readable", ".": "name a readable", "bytes": "no YAML", "large": "100"}.items():
        with pytest.raises(ConfigurationError, match=text):
            read(tmp_path / name)
