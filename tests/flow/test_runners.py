"""One graph, whatever runs it: in process, in several processes, and any runner by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import apache_beam as beam
import pytest

from pipeline import flow, ingest
from pipeline.errors import ArchiveError, UsageError
from tests import firm
from tests.firm import home, message, page, values

RUNS = [
    pytest.param({"workers": 1}, id="in this process"),
    pytest.param({"workers": 2}, id="two processes", marks=pytest.mark.slow),
    pytest.param({"runner": "BundleBasedDirectRunner"}, id="another runner"),
    pytest.param({"runner": "FnApiRunner", "beam_options": ["--direct_running_mode=multi_threading", "--direct_num_workers=2"]}, id="with Beam options"),
]


@pytest.mark.parametrize("how", RUNS)
def test_every_runner_makes_the_same_archive(tmp_path: Path, how: dict[str, object]) -> None:
    at = home(tmp_path)
    saved = [page(tmp_path, f"{p}.json", {10 * p + n: message(10 * p + n, "保本保息") for n in range(1, 6)}) for p in range(4)]
    ended = ingest.run(at, firm.CORP, sources=saved, **how)  # type: ignore[arg-type]  # the parameters above
    assert ended.summary.archived == 20
    assert values(at, "select count(*), count(distinct seq), sum(seq) from messages") == [(20, 20, sum(10 * p + n for p in range(4) for n in range(1, 6)))]
    assert values(at, "select count(*) from matches where term = '保本保息'") == [20]


def test_an_unknown_runner_is_one_sentence(tmp_path: Path) -> None:
    at = home(tmp_path)
    saved = page(tmp_path, "a.json", {1: message(1)})
    with pytest.raises(UsageError, match="not known to Beam"):
        ingest.run(at, firm.CORP, sources=[saved], runner="NoSuchRunner")
    assert ingest.run(at, firm.CORP, workers=1).summary.archived == 1


@pytest.mark.parametrize(
    ("how", "code", "said"),
    [
        pytest.param({"beam_options": ["--direct_num_workers=-4"]}, "RUNNER_OPTION", "is -4, expected a whole number 0–256", id="fewer than none"),
        pytest.param({"beam_options": ["--direct_num_workers", "9999999"]}, "RUNNER_OPTION", "is 9999999, expected", id="too many"),
        pytest.param({"beam_options": ["--direct_num_workers=many"]}, "RUNNER_UNKNOWN", "not known to Beam", id="no number"),
        pytest.param({"beam_options": ["--direct_running_mode=sideways"]}, "RUNNER_UNKNOWN", "not known to Beam", id="no such mode"),
        pytest.param({"beam_options": ["--runner=FnApiRunner"]}, "RUNNER_OPTION", "--runner stands behind --", id="the runner behind the dashes"),
        pytest.param({"runner": "NoSuchRunner"}, "RUNNER_UNKNOWN", "not known to Beam", id="no such runner"),
        pytest.param({"runner": "DataflowRunner"}, "RUNNER_UNKNOWN", "or one that it needs is missing", id="a runner without what it needs to be told"),
    ],
)
def test_what_cannot_be_used_is_refused_though_nothing_waits(tmp_path: Path, how: dict[str, Any], code: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        ingest.run(home(tmp_path), firm.CORP, **how)
    assert refused.value.code == code and said in refused.value.message


def test_a_runner_without_its_service_is_one_sentence_and_nothing_is_lost(tmp_path: Path) -> None:
    at = home(tmp_path)
    with pytest.raises(UsageError) as refused:
        ingest.run(at, firm.CORP, sources=[page(tmp_path, "a.json", {1: message(1)})], runner="PortableRunner")
    assert refused.value.code == "RUNNER_UNAVAILABLE"
    assert refused.value.message == "PortableRunner cannot be used from here (NotImplementedError): it needs a service or packages of its own"
    assert ingest.run(at, firm.CORP, workers=1).summary.archived == 1


def test_few_records_stay_in_this_process_and_many_get_one_per_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    for records, workers, expected in [(19_999, 0, "1"), (20_000, 0, "2"), (20_000, 1, "1"), (10, 3, "3")]:
        _, options = flow.engine(workers=workers, records=records, runner=None, beam_options=())
        assert str(options.get_all_options()["direct_num_workers"]) == expected, (records, workers)


@pytest.mark.parametrize(
    ("how", "spread"),
    [
        pytest.param({"workers": 1}, False, id="this process alone"),
        pytest.param({"workers": 0}, False, id="few records"),
        pytest.param({"workers": 2}, True, id="two processes"),
        pytest.param({"workers": 1, "runner": "BundleBasedDirectRunner"}, True, id="another runner: nobody knows"),
        pytest.param({"workers": 1, "beam_options": ["--direct_num_workers=2"]}, True, id="Beam's own options"),
    ],
)
def test_pages_are_spread_where_there_may_be_several_processes(tmp_path: Path, how: dict[str, Any], spread: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    at, build = home(tmp_path), flow.build
    labels: list[str] = []

    def built(pipeline: beam.Pipeline, *args: Any, **kwargs: Any) -> NoReturn:
        build(pipeline, *args, **kwargs)
        labels.extend(step.full_label for step in pipeline.transforms_stack[0].parts)
        raise ArchiveError("STEP_FAILED", "far enough")

    monkeypatch.setattr(flow, "build", built)
    with pytest.raises(ArchiveError, match="far enough"):
        ingest.run(at, firm.CORP, sources=[page(tmp_path, "a.json", {1: message(1)})], **how)
    assert labels == ["pages", *(["spread"] if spread else []), "landing", "envelope", "message", "consent", "matching", "stage"]


def test_an_error_of_a_step_that_is_not_ours_does_not_quote_the_record() -> None:
    def broken(text: str) -> None:
        raise KeyError(text)

    with pytest.raises(ArchiveError) as told:
        flow._guarded("message", broken, "客户的话")
    assert "客户的话" not in str(told.value) and "KeyError at test_runners.py" in str(told.value)
    assert told.value.__cause__ is None and told.value.__suppress_context__
