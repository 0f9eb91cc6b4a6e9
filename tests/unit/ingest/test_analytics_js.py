"""The browser SDK that HTML snippets load, from a package of our own making; the browser tests have the real one."""

import gzip
from pathlib import Path

import pytest

from deploy.local import browser_sdk
from deploy.local.errors import PartMissing
from services.ingest.settings import Settings
from tests.support.intake import World

ADDRESS = "/analytics.js/v1/dev-browser-key/analytics.min.js"
PLAIN = {"Accept-Encoding": "identity"}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    scripts = tmp_path / "package" / "dist" / "umd"
    scripts.mkdir(parents=True)
    (scripts / "standalone.js").write_text("bundle();")
    (scripts / "407.bundle.61ef.js").write_text("chunk();")
    (tmp_path / "package" / "LICENSE.MD").write_text("Terms of */ use")
    return tmp_path / "package"


@pytest.fixture
def world(package: Path) -> World:
    return World(settings=Settings(analytics_js=package))


@pytest.mark.parametrize("slash", ["", "/"])
async def test_the_bundle_stands_between_prelude_and_postlude_below_its_licence(world: World, slash: str) -> None:
    async with world.client() as client:
        answer = await client.get(ADDRESS + slash, headers=PLAIN)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    order = [answer.text.index(part) for part in ("/*! analytics-next", "Terms of * / use", "_cdn", "bundle();", "restore();")]
    assert order == sorted(order)


async def test_it_is_the_same_for_every_key_so_no_address_can_write_into_it(world: World) -> None:
    async with world.client() as client:
        bodies = {(await client.get(f"/analytics.js/v1/{key}/analytics.min.js")).text for key in ("a", "b%22%3Balert(1)%3B%22")}
    assert len(bodies) == 1
    assert "alert" not in bodies.pop()


async def test_pages_of_any_origin_may_load_and_keep_it_for_a_while(world: World) -> None:
    async with world.client() as client:
        answer = await client.get(ADDRESS)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert answer.headers["cache-control"] == "public, max-age=3600, stale-while-revalidate=86400"


async def test_what_a_browser_has_is_not_sent_again(world: World) -> None:
    async with world.client() as client:
        etag = (await client.get(ADDRESS)).headers["etag"]
        again = await client.get(ADDRESS, headers={"If-None-Match": etag})
        other = await client.get(ADDRESS, headers={"If-None-Match": '"else"'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert other.status_code == 200


async def test_it_is_sent_as_gzip_to_those_who_take_it(world: World) -> None:
    async with world.client() as client:
        plain = await client.get(ADDRESS, headers=PLAIN)
        async with client.stream("GET", ADDRESS, headers={"Accept-Encoding": "gzip, br"}) as answer:
            zipped = b"".join([part async for part in answer.aiter_raw()])
    assert "content-encoding" not in plain.headers
    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(zipped) == plain.content


async def test_chunks_may_be_kept_for_ever_and_the_licence_is_there(world: World) -> None:
    async with world.client() as client:
        chunk = await client.get("/analytics-next/bundles/407.bundle.61ef.js")
        licence = await client.get("/analytics-next/LICENSE")
    assert (chunk.text, chunk.headers["cache-control"]) == ("chunk();", "public, max-age=31536000, immutable")
    assert licence.text == "Terms of */ use"


@pytest.mark.parametrize("name", ["nothing.js", "standalone.js", "LICENSE.MD", "..%2f..%2fLICENSE.MD", "%00"])
async def test_no_other_file_is_served(world: World, name: str) -> None:
    async with world.client() as client:
        answer = await client.get(f"/analytics-next/bundles/{name}")
    assert (answer.status_code, answer.json()["code"]) == (404, "analytics_js_missing")


@pytest.mark.parametrize("folder", [None, Path("/no/such/folder")])
async def test_without_the_package_the_address_says_what_to_do(folder: Path | None) -> None:
    async with World(settings=Settings(analytics_js=folder)).client() as client:
        answer = await client.get(ADDRESS)
    assert (answer.status_code, answer.json()["code"]) == (404, "analytics_js_missing")
    assert "INGEST_ANALYTICS_JS" in answer.json()["detail"]


class TestFetching:
    def test_a_package_that_is_not_the_tested_one_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "a.tgz").write_bytes(b"something else")
        with pytest.raises(PartMissing, match="isn't the file that was tested"):
            browser_sdk.unpack(tmp_path / "a.tgz", tmp_path / "out")

    def test_where_nothing_can_fetch_it_that_is_said(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RAPPORT_CACHE", str(tmp_path))
        with pytest.raises(PartMissing, match="neither npm nor uv"):
            browser_sdk.ensure_browser_sdk(lambda: None)
        assert browser_sdk.find_browser_sdk() is None

    def test_what_was_fetched_before_is_found_again(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RAPPORT_CACHE", str(tmp_path))
        browser_sdk.browser_sdk_home().mkdir()
        assert browser_sdk.ensure_browser_sdk() == browser_sdk.find_browser_sdk()
