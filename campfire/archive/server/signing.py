"""The server's secret, and what is made with it: access tokens (JWT, HS256) and signed file URLs."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

from campfire.publishing import settle, sync_folder

__all__ = ["Signer", "digest", "load_secret", "new_token"]


def digest(token: str) -> str:
    """Return what is stored in place of a random token: its SHA-256 (the token has 256 bits, so no salt)."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def new_token(prefix: str = "") -> str:
    """Return ``prefix`` and 64 random hexadecimal digits."""
    return prefix + secrets.token_hex(32)


def load_secret(path: Path) -> bytes:
    """Return the 32-byte secret kept in ``path``, made (mode 0600) where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    if not path.exists():
        with os.fdopen(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as stream:
            stream.write(secrets.token_hex(32))
        settle(fresh)
        # A link never replaces: of two servers starting at once, both use the first one's secret.
        with suppress(FileExistsError):
            os.link(fresh, path)
        fresh.unlink()
        sync_folder(path.parent)
    return bytes.fromhex(path.read_text("ascii").strip())


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Signer:
    """Signs with keys derived from one secret, a different key for each purpose.

    Parameters
    ----------
    secret
        At least 32 random bytes.

    Examples
    --------
    >>> signer = Signer(b"0" * 32)
    >>> signature = signer.sign("file", "demo_p1/x_spec.fits", 1000)
    >>> signer.verify("file", "demo_p1/x_spec.fits", 1000, signature)
    True
    >>> signer.verify("file", "demo_p1/x_spec.fits", 1001, signature)
    False
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def _mac(self, purpose: str, message: bytes) -> bytes:
        key = hmac.digest(self._secret, purpose.encode("ascii"), "sha256")
        return hmac.digest(key, message, "sha256")

    def sign(self, purpose: str, text: str, expires: int) -> str:
        """Return a signature (hexadecimal) of a text and the time it ends (seconds, Unix)."""
        return self._mac(purpose, f"{expires}\n{text}".encode("utf-8", "surrogatepass")).hex()

    def verify(self, purpose: str, text: str, expires: int, signature: str) -> bool:
        """Tell whether ``signature`` is the one of text and end; whether it has ended is for the caller."""
        right = self.sign(purpose, text, expires)
        return hmac.compare_digest(right.encode("ascii"), signature.encode("utf-8", "surrogatepass"))

    def token(self, claims: dict[str, Any]) -> str:
        """Return ``claims`` as a JSON Web Token signed with HS256 (RFC 7519)."""
        header = _encode(b'{"alg":"HS256","typ":"JWT"}')
        signed = f"{header}.{_encode(json.dumps(claims, separators=(',', ':')).encode())}"
        return f"{signed}.{_encode(self._mac('token', signed.encode('ascii')))}"

    def claims(self, token: str) -> dict[str, Any] | None:
        """Return the claims of a token this signer made, else None. Times in it are for the caller."""
        signed, _, signature = token.rpartition(".")
        head, _, body = signed.partition(".")
        try:
            if not hmac.compare_digest(self._mac("token", signed.encode("ascii")), _decode(signature)):
                return None
            header, claims = json.loads(_decode(head)), json.loads(_decode(body))
        except ValueError:
            return None
        # The algorithm is ours, never the token's choice; the header only has to agree.
        return claims if header.get("alg") == "HS256" else None
