"""Verbs of the account: login, logout, whoami."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from campfire.cli.common import asking, echo_json, json_option, make_client, note, success
from campfire.config import origin, resolve_base_url
from campfire.errors import AuthenticationError

if TYPE_CHECKING:
    from campfire.transport.device import DeviceCode
    from campfire.transport.http import Http

__all__ = ["login_command", "logout_command", "signed_in_as", "whoami_command"]

_base_url = click.option("--base-url", default=None, help="Address of the service [CAMPFIRE_API_URL].")


def _http(base_url: str | None) -> Http:
    from campfire.transport.http import Http

    return Http(resolve_base_url(base_url))


def signed_in_as(base_url: str) -> str | None:
    """Describe the credentials that would be used, without network or secret; None where there are none."""
    from campfire.transport.credentials import CredentialStore

    if os.environ.get("CAMPFIRE_API_KEY"):
        return "API key of CAMPFIRE_API_KEY"
    login = CredentialStore().load(origin(base_url))
    if login is None:
        return None
    kind = "API key" if login.type == "api_key" else "browser login"
    return f"{login.user_email or 'unknown address'} ({kind})"


def _show(code: DeviceCode) -> None:
    note("To sign in, open")
    click.secho(f"  {code.verification_uri_complete}", bold=True, err=True)
    note("and confirm that it shows the code")
    click.secho(f"  {code.user_code}", bold=True, err=True)
    note(f"(or enter it at {code.verification_uri}). Waiting ...")


@click.command("login", epilog="Examples: campfire login --browser; campfire login --api-key < key.txt")
@click.option("--browser/--api-key", "browser", default=None, help="How to sign in; asked without.")
@_base_url
def login_command(browser: bool | None, base_url: str | None) -> int:
    """Sign in to the service.

    An API key is read without being shown, and checked. In a batch job set CAMPFIRE_API_KEY instead.
    """
    from campfire.transport.auth import login_with_key
    from campfire.transport.device import login_with_browser

    http = _http(base_url)
    former = _former(http.base_url)
    if former:
        with asking("run `campfire logout` first"):
            if not click.confirm(f"Signed in as {former}. Replace it?", default=False, err=True):
                return 1
    if browser is None:
        note("1  in the browser\n2  with an API key")
        with asking("pass --browser, or set CAMPFIRE_API_KEY"):
            browser = click.prompt("How", type=click.Choice(["1", "2"]), default="1", err=True) == "1"
    if browser:
        who = login_with_browser(http, _show)
    else:
        with asking("give the key on standard input, or set CAMPFIRE_API_KEY"):
            key = click.prompt("API key", hide_input=sys.stdin.isatty(), err=True)
        who = login_with_key(http, key)
    success(f"signed in as {who.get('email') or who.get('user_id')}")
    return 0


def _former(base_url: str) -> str | None:
    from campfire.transport.credentials import CredentialStore

    try:
        login = CredentialStore().load(origin(base_url))
    except AuthenticationError as err:
        # A damaged file holds no login worth asking about; say so and replace it.
        note(str(err))
        return None
    return None if login is None else (login.user_email or "unknown address")


@click.command("logout", epilog="Example: campfire logout")
@_base_url
def logout_command(base_url: str | None) -> int:
    """Revoke the login, where the service can be reached, and forget it."""
    from campfire.transport.auth import logout

    success("signed out") if logout(_http(base_url)) else note("nobody was signed in")
    return 0


@click.command("whoami", epilog="Example: campfire whoami --json")
@json_option
@_base_url
def whoami_command(as_json: bool, base_url: str | None) -> int:
    """Ask the service who is signed in."""
    with make_client(base_url) as cf:
        who: dict[str, Any] = cf.whoami()
    if as_json:
        echo_json(who)
    else:
        name = f" ({who['full_name']})" if who.get("full_name") else ""
        click.echo(f"{who.get('email') or who.get('user_id')}{name}")
    return 0
