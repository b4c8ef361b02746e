"""Statement checked: the device sign-in works in a real browser, by keyboard alone and without scripts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from campfire.archive.server.accounts import Accounts
from campfire.testing import served

pytestmark = pytest.mark.browser

EMAIL, PASSWORD = "ada@example.org", "correct horse battery"


def test_device_flow_with_the_keyboard(fresh_root: Path, browser: Any) -> None:
    from selenium.common.exceptions import StaleElementReferenceException
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    def press(*keys: str) -> None:
        browser.switch_to.active_element.send_keys(*keys)

    def heading(text: str) -> None:
        # the page may change between finding its heading and reading it
        wait = WebDriverWait(browser, 20, ignored_exceptions=[StaleElementReferenceException])
        wait.until(lambda b: b.find_element(By.TAG_NAME, "h1").text == text)

    with Accounts(fresh_root) as accounts:
        accounts.add_user(EMAIL, PASSWORD, full_name="Ada L")
    with served(fresh_root, open_access=False) as url, httpx.Client(base_url=url, verify=False) as client:
        device = client.post("/auth/device").json()
        browser.get(device["verification_uri_complete"])
        heading("Sign in")
        press(EMAIL, Keys.TAB)
        press("wrong password", Keys.ENTER)
        WebDriverWait(browser, 20).until(lambda b: b.find_elements(By.ID, "problem"))
        press(EMAIL, Keys.TAB)
        press(PASSWORD, Keys.ENTER)
        heading("Connect a device")
        code = browser.find_element(By.ID, "code")
        assert code.get_attribute("value") == device["user_code"]
        for _ in range(10):
            if browser.switch_to.active_element.text == "Approve":
                break
            press(Keys.TAB)
        press(Keys.ENTER)
        heading("Device connected")
        poll = {
            "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
            "device_code": device["device_code"],
            "device_name": "browser test",
        }
        tokens = client.post("/auth/device/token", json=poll).json()
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        assert client.get("/auth/whoami", headers=headers).json()["email"] == EMAIL
        # The policy of the page forbids whatever it does not need: nothing it does need was refused.
        complaints = [
            entry for entry in browser.get_log("browser") if "Content Security Policy" in entry["message"]
        ]
        assert complaints == []
