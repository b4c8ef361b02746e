"""Statements checked: the viewer shows what may be seen, to whom may see it, and is driven by keyboard."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from campfire.archive.server.accounts import Accounts
from campfire.plotting.panels.page import page_html
from campfire.plotting.panels.payload import SNR_STEP, encode_image, encode_pixels
from campfire.store.catalog import Catalog
from campfire.testing import served

EMAIL, PASSWORD = "ada@example.org", "correct horse battery"
HOSTILE = "</script><img src=x onerror=alert(1)>"

values = arrays(np.float64, 12, elements=st.floats(-1e6, 1e6) | st.just(float("nan")) | st.just(float("inf")))


def decoded(text: str, dtype: str) -> np.ndarray[Any, Any]:
    return np.frombuffer(base64.b64decode(text), dtype=dtype)


@given(values, values, arrays(np.bool_, 12))
def test_pixels_that_are_not_to_be_used_are_sent_as_nan_and_no_others(
    fnu: np.ndarray[Any, Any], error: np.ndarray[Any, Any], mask: np.ndarray[Any, Any]
) -> None:
    sent = encode_pixels(np.linspace(1, 2, 12), fnu, error, mask)
    good = np.isfinite(fnu) & np.isfinite(error) & (error > 0) & ~mask
    flux = decoded(sent["fnu"], "<f4")
    np.testing.assert_array_equal(np.isfinite(flux), good)
    np.testing.assert_array_equal(flux[good], fnu[good].astype("f4"))
    np.testing.assert_array_equal(np.isfinite(decoded(sent["err"], "<f4")), good)


@given(values, values)
def test_the_image_is_its_signal_to_noise_to_half_a_step(
    flux: np.ndarray[Any, Any], error: np.ndarray[Any, Any]
) -> None:
    sent = encode_image(flux.reshape(3, 4), error.reshape(3, 4))
    steps = decoded(sent["snr"], "i1").reshape(3, 4)
    with np.errstate(all="ignore"):
        snr = (flux / error).reshape(3, 4)
    good = np.isfinite(snr)
    np.testing.assert_array_equal(steps == -128, ~good)
    assert np.all(np.abs(steps[good] * SNR_STEP - np.clip(snr[good], -12.7, 12.7)) <= 0.5001 * SNR_STEP)


def test_text_in_the_settings_cannot_end_its_element() -> None:
    html = page_html({"objects": [{"object": {"object_id": HOSTILE}}]}, title=HOSTILE)
    assert HOSTILE not in html
    assert html.count("</script>") == 2
    assert "http://" not in html.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in html


def test_who_is_not_signed_in_sees_the_sign_in_page_and_no_data(urls: dict[str, str]) -> None:
    base = urls["traps"].removesuffix("/api/v1")
    with httpx.Client(base_url=base) as anyone:
        shown = anyone.get("/view/some-object")
        assert "Sign in to look at the spectra" in shown.text
        for path in ("objects", "names", "words", "object", "cutout"):
            assert anyone.get(f"/viewer/{path}").status_code == 401


def test_signing_in_leads_back_to_the_object_and_looking_keeps_one_signed_in(fresh_root: Path) -> None:
    with Accounts(fresh_root) as accounts:
        accounts.add_user(EMAIL, PASSWORD)
    with (
        served(fresh_root, open_access=False) as url,
        httpx.Client(base_url=url.removesuffix("/api/v1")) as client,
    ):
        form = {"email": EMAIL, "password": PASSWORD}
        assert client.post("/view/x?sort=ra", data=form | {"password": "wrong"}).status_code == 403
        elsewhere = client.post("/view/x", data=form, headers={"Origin": "https://evil.example.org"})
        assert elsewhere.status_code == 403
        entered = client.post("/view/x?sort=ra", data=form)
        assert (entered.status_code, entered.headers["location"]) == (303, "?sort=ra")
        shown = client.get("/view/x?sort=ra")
        assert "set-cookie" in shown.headers
        assert "default-src 'none'" in shown.headers["content-security-policy"]
        assert "unsafe" not in shown.headers["content-security-policy"]
        assert EMAIL in shown.text
        assert client.get("/viewer/names").status_code == 200


@pytest.mark.parametrize("mode", ["traps", "fixed"])
def test_a_program_that_cannot_be_read_is_in_no_answer(
    urls: dict[str, str], keys: dict[str, str], mode: str
) -> None:
    base = urls[mode].removesuffix("/api/v1")
    seen = {}
    for who in ("plain", "granted"):
        with httpx.Client(base_url=base, headers={"Authorization": f"Bearer {keys[who]}"}) as client:
            names = client.get("/viewer/names").json()["data"]
            answers = [client.get("/viewer/object", params={"object_id": name}).text for name in names]
            answers += [client.get(f"/viewer/{path}").text for path in ("objects", "words")]
            seen[who] = "".join(answers)
            assert names == [row["object_id"] for row in client.get("/viewer/objects").json()["data"]]
    assert "secret_gto" in seen["granted"]
    assert "secret_gto" not in seen["plain"]


@pytest.mark.browser
def test_the_viewer_with_the_keyboard(fresh_root: Path, browser: Any) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    with Catalog(fresh_root / "meta" / "campfire.db") as catalog, catalog.write() as writer:
        (first,) = writer.execute("SELECT min(object_id) FROM objects").fetchone()
        writer.execute("UPDATE objects SET field = ? WHERE object_id = ?", (HOSTILE, first))

    def press(*pressed: str) -> None:
        ActionChains(browser).send_keys(*pressed).perform()

    def value(script: str) -> Any:
        return browser.execute_script(f"return {script}")

    def wait(script: str) -> None:
        WebDriverWait(browser, 20).until(lambda b: b.execute_script(f"return {script}"))

    with served(fresh_root) as url:
        browser.get(url.removesuffix("/api/v1") + "/view")
        wait("page.body && page.body.rows.length === page.names.length && page.names.length > 2")
        names = value("page.names")
        assert names[0] == first
        assert HOSTILE in value("document.body.textContent")
        press("j", "k", Keys.ENTER)
        wait(f"page.main.dataset.object === '{names[0]}'")
        for key, name in (("j", names[1]), (Keys.ARROW_RIGHT, names[2]), ("k", names[1]), ("k", names[0])):
            press(key)
            wait(f"page.main.dataset.object === '{name}'")
        # All figures share one range of wavelengths and one redshift.
        before, z = value("page.view.range"), value("page.view.z")
        press("+", "]")
        wait(f"page.view.z > {z}")
        after = value("page.view.range")
        assert before[0] < after[0] < after[1] < before[1]
        assert len(set(value("page.view.figures.filter(f => f.box).map(f => f.x(2.5))"))) == 1
        for redshift in (0.0, 1.7, 4.2, 9.0):
            value(f"(page.view.setRedshift({redshift}), page.view.reset(), page.view.drawNow())")
            for boxes in value("page.view.figures.filter(f => f.box).map(f => f.labels)"):
                for n, one in enumerate(boxes):
                    for two in boxes[:n]:
                        apart = one["x0"] >= two["x1"] or two["x0"] >= one["x1"]
                        assert apart or one["y0"] >= two["y1"] or two["y0"] >= one["y1"]
        press("c")
        assert value("page.view.z") == pytest.approx(z)
        press("?")
        wait("page.help.open")
        press(Keys.ESCAPE)
        press("t")
        wait("page.name === null && page.body.rows.length > 0")
        press("/")
        press(names[1], Keys.ENTER)
        wait("page.names.length === 1 && page.body.rows.length === 1")
        assert value("new URLSearchParams(location.search).get('search')") == names[1]
        # On a phone nothing is wider than the screen.
        metrics = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        browser.get(f"{url.removesuffix('/api/v1')}/view/{names[1]}")
        wait(f"page.main.dataset.object === '{names[1]}'")
        assert value("document.documentElement.scrollWidth") <= 390
        # There is no image of the place.
        severe = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
        assert [entry for entry in severe if "/viewer/cutout" not in entry["message"]] == []
