"""What each test of a subject's promises relies on."""

from tests.judge.conftest import no_judge_crashes  # noqa: F401  (a fixture)
