"""A protection holds every time, or it does not."""

from chaos.judge.base import Finding, Verdict, judge
from chaos.subjects.zones.promises import protection_holds
from chaos.subjects.zones.records import Trial
from tests.judge.histories import history


def judged(*seen: tuple[str, str]) -> Finding:
    trials = [
        Trial(at, name, Verdict(verdict), reason)
        for at, (name, said) in enumerate(seen)
        for verdict, _, reason in [said.partition(" because ")]
    ]
    return judge(protection_holds(("tolerations", "rate 0"), times=2), history(*trials))


HOLDS = [("tolerations", "held"), ("tolerations", "held"), ("rate 0", "held")]


def test_each_time_is_held() -> None:
    assert judged(*HOLDS, ("rate 0", "held")).verdict is Verdict.HELD


def test_once_not_is_violated_with_the_trials_reason() -> None:
    finding = judged(*HOLDS, ("rate 0", "violated because taint-eviction"))
    assert (finding.verdict, finding.reason) == (Verdict.VIOLATED, "taint-eviction")
    assert "rate 0 did not hold in 1 of 4 trials" in finding.sentence


def test_a_missing_or_unknown_trial_is_unknown() -> None:
    assert judged(*HOLDS).verdict is Verdict.UNKNOWN
    assert judged(*HOLDS, ("rate 0", "unknown because not-enough-seen")).verdict is Verdict.UNKNOWN
    assert judged().verdict is Verdict.UNKNOWN


def test_other_protections_do_not_count() -> None:
    assert judged(*HOLDS, ("rate 0", "held"), ("none", "violated because taint-eviction")).verdict is Verdict.HELD


def test_all_trials_are_counted() -> None:
    held = judged(*HOLDS, ("rate 0", "held"), ("rate 0", "held"))
    assert (held.sentence, held.figures) == ("rate 0, tolerations held in each of 2 trials", {"trials": 4})
    twice = judged(("tolerations", "violated because deleted"), *HOLDS, ("rate 0", "violated because taint-eviction"))
    assert (twice.reason, twice.figures) == ("deleted", {"violated": 2, "trials": 5})
    assert len(twice.proof) == 2
    assert judged(*HOLDS).sentence == "not every one of 2 trials of rate 0 could be judged"
    assert judge(protection_holds((), times=2), history()).verdict is Verdict.UNKNOWN
