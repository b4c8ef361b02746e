"""The pages a person sees in a browser: sign in, confirm a device. No scripts, no external assets.

Forms go to the address of the page itself, so they work below any prefix a proxy adds.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape

from fastapi import Response

__all__ = ["confirm_page", "message_page", "page", "sign_in_page"]

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2530; --paper: #f4f1ec; --card: #fff; --line: #8a93a0;
  --accent: #a63d0c; --on-accent: #fff; --soft: #5b6573; --bad: #a3121f; }
@media (prefers-color-scheme: dark) { :root { --ink: #eceff3; --paper: #14181e; --card: #1f252d;
  --line: #7d8794; --accent: #ff9d63; --on-accent: #201006; --soft: #b3bcc8; --bad: #ff9a9f; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.5rem;
  background: var(--paper); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
main { width: 100%; max-width: 27rem; padding: 2.25rem; background: var(--card); border-radius: .9rem;
  border-top: .35rem solid var(--accent); box-shadow: 0 .5rem 2rem rgb(0 0 0 / .12); }
h1 { margin: 0 0 .5rem; font-size: 1.5rem; line-height: 1.25; }
p { margin: 0 0 1.25rem; color: var(--soft); }
label { display: block; margin: 0 0 .3rem; font-weight: 600; }
input { width: 100%; margin: 0 0 1.1rem; padding: .65rem .8rem; font: inherit; color: inherit;
  background: transparent; border: 1px solid var(--line); border-radius: .45rem; }
.code { font: 600 1.4rem/1.3 ui-monospace, monospace; letter-spacing: .12em; text-align: center;
  text-transform: uppercase; }
button { padding: .7rem 1.3rem; font: inherit; font-weight: 600; border-radius: .45rem; cursor: pointer;
  border: 1px solid var(--accent); background: var(--accent); color: var(--on-accent); }
button.quiet { background: transparent; color: var(--ink); border-color: var(--line); }
:focus-visible { outline: .2rem solid var(--accent); outline-offset: .15rem; }
.row { display: flex; gap: .75rem; flex-wrap: wrap; }
[role=alert] { color: var(--bad); font-weight: 600; }
.who { margin: 1.25rem 0 0; }
footer { margin-top: 1.75rem; font-size: .875rem; color: var(--soft); }
"""
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    # Not no-referrer: browsers would then send `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}


def page(title: str, body: str, *, status: int = 200) -> Response:
    """Return a page; ``title`` and ``body`` are HTML already."""
    html = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{title} - CAMPFIRE</title>\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n{body}\n"
        "<footer>CAMPFIRE spectra archive</footer>\n</main>\n</body>\n</html>\n"
    )
    return Response(html, status_code=status, headers=_HEADERS, media_type="text/html; charset=utf-8")


def _alert(text: str | None) -> str:
    return f'<p role="alert" id="problem">{escape(text)}</p>\n' if text else ""


DEVICE = "Sign in to let a device read spectra in your name."


def sign_in_page(
    code: str = "", *, problem: str | None = None, status: int = 200, purpose: str = DEVICE
) -> Response:
    """Return the page that asks who the person is; ``code`` is kept for the page after it."""
    return page(
        "Sign in",
        f"""{_alert(problem)}<p>{escape(purpose)}</p>
<form method="post">
<input type="hidden" name="code" value="{escape(code)}">
<label for="email">E-mail</label>
<input id="email" name="email" type="email" autocomplete="username" required autofocus>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required>
<div class="row"><button type="submit">Sign in</button></div>
</form>""",
        status=status,
    )


def confirm_page(
    who: str, form_token: str, code: str = "", *, problem: str | None = None, status: int = 200
) -> Response:
    """Return the page that asks to approve or deny the device showing ``code``."""
    return page(
        "Connect a device",
        f"""{_alert(problem)}<p>Approve only if this is the code your own terminal shows.</p>
<form method="post">
<input type="hidden" name="form_token" value="{escape(form_token)}">
<label for="code">Code</label>
<input class="code" id="code" name="code" value="{escape(code)}" autocomplete="off"
 autocapitalize="characters" spellcheck="false" required maxlength="12"
 placeholder="XXXX-XXXX"{"" if code else " autofocus"}>
<div class="row">
<button type="submit" name="action" value="authorize">Approve</button>
<button type="submit" name="action" value="deny" class="quiet">Deny</button>
</div>
</form>
<p class="who">Signed in as <strong>{escape(who)}</strong>.</p>""",
        status=status,
    )


def message_page(title: str, text: str, *, status: int = 200) -> Response:
    """Return a page with one sentence; both are plain text."""
    return page(escape(title), f'<p role="status">{escape(text)}</p>', status=status)
