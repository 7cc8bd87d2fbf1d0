"""Ed25519 over seals: the only door to cryptography. A private key is read from its file and never shown."""

import hashlib
from dataclasses import replace
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from service.core.errors import ConfigurationError
from service.core.seal import Seal, signed_bytes

_KEY_NAME = 16  # hex digits by which a key is named
_OTHERS = 0o077


class Signer:
    """Signs seals with a private key."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        """Take the key."""
        self._private = private
        self.key = _name(private.public_key())

    @classmethod
    def load(cls, path: Path) -> "Signer":
        """Return the signer of a PEM file, as `openssl genpkey -algorithm ed25519 -out FILE` writes it.

        Raises:
            ConfigurationError: If it cannot be read, is open to others, or holds no such key.
        """
        if path.exists() and path.stat().st_mode & _OTHERS:
            msg = f"{path}: others may read this key; `chmod 600 {path}`"
            raise ConfigurationError(msg)
        try:
            private = serialization.load_pem_private_key(_read(path), password=None)
        except (TypeError, ValueError, UnsupportedAlgorithm) as error:
            private = None
            cause: Exception | None = error
        else:
            cause = None
        if not isinstance(private, Ed25519PrivateKey):
            msg = f"{path}: no Ed25519 private key in PEM without a password; `openssl genpkey -algorithm ed25519`"
            raise ConfigurationError(msg) from cause
        return cls(private)

    def signed(self, seal: Seal) -> Seal:
        """Return a seal with its signature."""
        return replace(seal, signature=self._private.sign(signed_bytes(seal)).hex(), key=self.key)


class Verifier:
    """Judges signatures of seals by a public key."""

    def __init__(self, public: Ed25519PublicKey) -> None:
        """Take the key."""
        self._public = public
        self.key = _name(public)

    @classmethod
    def load(cls, path: Path) -> "Verifier":
        """Return the verifier of a PEM file, as `openssl pkey -in KEY -pubout -out FILE` writes it.

        Raises:
            ConfigurationError: If it cannot be read or holds no such key.
        """
        try:
            public = serialization.load_pem_public_key(_read(path))
        except (ValueError, UnsupportedAlgorithm) as error:
            msg = f"{path}: no public key in PEM; `openssl pkey -in KEY -pubout`"
            raise ConfigurationError(msg) from error
        if not isinstance(public, Ed25519PublicKey):
            msg = f"{path}: a public key of another kind than Ed25519"
            raise ConfigurationError(msg)
        return cls(public)

    def fault_of(self, seal: Seal) -> str | None:
        """Return what is wrong with a seal's signature, or None."""
        if seal.signature is None:
            return "it is not signed"
        try:
            self._public.verify(bytes.fromhex(seal.signature), signed_bytes(seal))
        except (InvalidSignature, ValueError):
            return f"its signature is not of key {self.key}"
        return None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        msg = f"{path}: {error.strerror}; name a readable key file"
        raise ConfigurationError(msg) from error


def _name(public: Ed25519PublicKey) -> str:
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:_KEY_NAME]
