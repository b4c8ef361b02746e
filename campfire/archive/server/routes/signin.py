"""The pages of the device sign-in: who are you, and is this your device?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated
from urllib.parse import quote, urlsplit

from fastapi import APIRouter, Depends, Request, Response
from starlette.concurrency import run_in_threadpool

from campfire.archive.server.accounts import SESSION_SECONDS, User
from campfire.archive.server.archive import Archive, ServedDep
from campfire.archive.server.body import form_body
from campfire.archive.server.devices import UserCodeError
from campfire.archive.server.html_pages import DEVICE, confirm_page, message_page, sign_in_page
from campfire.archive.server.login_throttle import CODES, PASSWORDS, TooManyGuesses, address_of
from campfire.archive.server.pools import Busy
from campfire.archive.server.routes.auth import SESSION_COOKIE

__all__ = ["from_elsewhere", "keep_signed_in", "router", "sign_in"]

router = APIRouter(include_in_schema=False)
Form = Annotated[dict[str, str], Depends(form_body)]


def _signed_in(request: Request, archive: Archive) -> User | None:
    if archive.open_access:
        return archive.guest()
    return archive.accounts.user_of_session(request.cookies.get(SESSION_COOKIE, ""))


def _form_token(request: Request, archive: Archive) -> str:
    """Return what a form must bring back: bound to the session, so another site cannot know it."""
    return archive.accounts.signer.sign("form", request.cookies.get(SESSION_COOKIE, ""), 0)


def from_elsewhere(request: Request, archive: Archive) -> bool:
    """Tell whether the browser says that another site sent the form."""
    origin = request.headers.get("origin")
    hosts = {request.headers.get("host"), urlsplit(archive.base_url or "").netloc}
    return origin is not None and urlsplit(origin).netloc not in hosts - {""}


def _confirm(
    request: Request,
    archive: Archive,
    user: User,
    code: str,
    *,
    problem: str | None = None,
    status: int = 200,
) -> Response:
    who = user.full_name or user.email or "guest"
    return confirm_page(who, _form_token(request, archive), code, problem=problem, status=status)


@router.get("/cli-auth")
def show(request: Request, archive: ServedDep, code: str = "") -> Response:
    """Show the page a person was sent to by the device."""
    user, code = _signed_in(request, archive), code[:12]
    if user is None:
        return sign_in_page(code)
    problem = None
    if code:
        try:
            with archive.failures.guess(f"code {user.id}", CODES) as right:
                archive.devices.check(code)
                right()
        except TooManyGuesses as err:
            return message_page("Too many wrong codes", f"{str(err).capitalize()}.", status=429)
        except UserCodeError as err:
            problem = f"{err.message.capitalize()}."
    return _confirm(request, archive, user, code, problem=problem)


@router.post("/cli-auth")
async def submit(request: Request, form: Form, archive: ServedDep) -> Response:
    """Take either form: a sign-in, or a decision about the device."""
    if from_elsewhere(request, archive):
        return message_page("Not from here", "This form was sent by another site.", status=403)
    if "password" in form:
        return await sign_in(request, form, archive)
    return await run_in_threadpool(_decide, request, form, archive)


async def sign_in(
    request: Request,
    form: dict[str, str],
    archive: Archive,
    *,
    location: str | None = None,
    purpose: str = DEVICE,
) -> Response:
    """Check the password and go on: to the confirmation, or to ``location``."""
    email, code = form.get("email", "").strip(), form.get("code", "")[:12]

    def refuse(problem: str, status: int) -> Response:
        return sign_in_page(code, problem=problem, status=status, purpose=purpose)

    try:
        # By client too, so that nobody can keep the right person out.
        with archive.failures.guess(f"password {address_of(request)} {email.lower()}", PASSWORDS) as right:
            try:
                user = await archive.checking.run(
                    lambda: archive.accounts.check_password(email, form["password"])
                )
            except Busy as err:
                right()  # it was not checked
                return _later(refuse, "Too many people are signing in", err.seconds, 503)
            if user is not None:
                right()
    except TooManyGuesses as err:
        return _later(refuse, "Too many wrong passwords", err.seconds, 429)
    if user is None:
        return refuse("E-mail or password is wrong.", 403)
    answer = Response(status_code=303, headers={"Location": location or f"?code={quote(code)}"})
    keep_signed_in(request, answer, archive, user)
    return answer


def keep_signed_in(request: Request, answer: Response, archive: Archive, user: User) -> None:
    """Let an answer start the browser's session, or start its time anew."""
    answer.set_cookie(
        SESSION_COOKIE,
        archive.accounts.session(user),
        max_age=SESSION_SECONDS,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )


def _later(refuse: Callable[[str, int], Response], problem: str, seconds: int, status: int) -> Response:
    wait = f"{-(-seconds // 60)} min" if seconds > 60 else f"{seconds} s"
    page = refuse(f"{problem}. Try again in {wait}.", status)
    page.headers["Retry-After"] = str(seconds)
    return page


def _decide(request: Request, form: dict[str, str], archive: Archive) -> Response:
    """Approve or deny the device."""
    user, code = _signed_in(request, archive), form.get("code", "")[:12]
    if user is None:
        return sign_in_page(code, problem="You were signed out. Sign in again.", status=403)
    cookie = request.cookies.get(SESSION_COOKIE, "")
    if not archive.accounts.signer.verify("form", cookie, 0, form.get("form_token", "")):
        return message_page("Not from here", "This form was sent by another site.", status=403)
    approve = form.get("action") == "authorize"
    try:
        with archive.failures.guess(f"code {user.id}", CODES) as right:
            archive.devices.decide(code, user.id, approve=approve)
            right()
    except TooManyGuesses as err:
        return message_page("Too many wrong codes", f"{str(err).capitalize()}.", status=429)
    except UserCodeError as err:
        return _confirm(request, archive, user, code, problem=f"{err.message.capitalize()}.", status=400)
    if approve:
        return message_page("Device connected", "You can close this page and go back to your terminal.")
    return message_page("Device denied", "The device was not given access. You can close this page.")
