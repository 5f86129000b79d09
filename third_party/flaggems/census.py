"""Run FlagGems' own tests, file by file from a checkout, on this backend, and say for every operator how it fared.

    python third_party/flaggems/census.py --flaggems CHECKOUT --report REPORT.jsonl [--files test_mm.py ...] [--sample N] [--full]
        [--device host|qemu|null] [--chip CHIP] [--vendor triton_spacemit|spacemit] [--limit SECONDS] [--memory GIB]
        [--only-passed-in REPORT [--one-each]] [--only-failed-in REPORT]
    python third_party/flaggems/census.py --flaggems CHECKOUT --show REPORT ... [--control REPORT ...]

Every result is appended to the report as soon as it is known: a run that is stopped goes on where it was. A test that does not end in time,
ends its process or asks for more memory than `--memory` is recorded as that, and the next one runs. `--sample` takes so many tests of each
function, at equal distances (0: all); `--full` takes the library's large shapes instead of its quick ones. `--device null
--only-passed-in REPORT` is the control: what passed is run again with launches that do nothing and has to fail. `--one-each` leaves one
test of each operator, for an emulated chip.

`--show` prints the table of the operators that did not simply pass: result, whose fault, and the proof, from `verdicts.toml`.
Needs pytest, rich and what FlagGems needs; `plugin.py` says what makes the tests evidence.
"""

import argparse
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
import tomllib
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.progress import Progress

HERE = Path(__file__).parent
#: Seconds of processor time that a test may go on in native code after its limit, and how many times its limit it may wait for something.
GRACE, PATIENCE = 20.0, 20
#: Files whose tests one process runs: it takes seconds to start, and holds what it compiled.
BATCH = 40


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flaggems", type=Path, required=True, help="a checkout of FlagGems' repository")
    parser.add_argument("--report", type=Path, default=Path("flaggems-census.jsonl"))
    parser.add_argument("--files", nargs="*", default=None, help="names of test files (default: all)")
    parser.add_argument("--sample", type=int, default=2, help="tests of each function (0: all)")
    parser.add_argument("--full", action="store_true", help="the library's large shapes instead of its quick ones")
    parser.add_argument("--device", default="host", choices=("host", "qemu", "null"))
    parser.add_argument("--chip", default="")
    parser.add_argument("--vendor", default="triton_spacemit", choices=("triton_spacemit", "spacemit"))
    parser.add_argument("--limit", type=float, default=60.0, help="seconds of processor time for one test")
    parser.add_argument("--memory", type=float, default=5.0, help="GiB of address space for the process that runs the tests")
    parser.add_argument("--only-passed-in", type=Path, default=None, help="run only what passed in this report with a kernel of ours")
    parser.add_argument("--one-each", action="store_true", help="of what passed there only the quickest test of each operator")
    parser.add_argument("--only-failed-in", type=Path, default=None, help="run only what failed in this report")
    parser.add_argument("--show", type=Path, nargs="*", default=None, help="run nothing, print the table of these reports")
    parser.add_argument("--control", type=Path, nargs="*", default=[], help="reports of control runs, for the table")
    arguments = parser.parse_args()
    operators = re.findall(r"^ +- id: *(\S+)", (arguments.flaggems / "conf" / "operators.yaml").read_text(), re.MULTILINE)
    if arguments.show is not None:
        print(table(read(arguments.show), read(arguments.control), operators))
        return 0
    run(arguments, operators)
    return 0


def read(paths: list[Path]) -> dict[str, dict[str, Any]]:
    """The last result of each test; one that began and has none ended its process."""
    tests: dict[str, dict[str, Any]] = {}
    for path in paths:
        for line in path.read_text().splitlines() if path.exists() else ():
            record = json.loads(line)
            if "test" in record:
                known = tests.get(record["test"], {})
                tests[record["test"]] = {"operators": known.get("operators", []), "outcome": "died", "message": ""} | record
    return tests


def run(arguments: argparse.Namespace, operators: list[str]) -> None:
    only: set[str] = set()
    for path, wanted in ((arguments.only_passed_in, _ran), (arguments.only_failed_in, _failed)):
        only |= {name for name, test in read([path]).items() if wanted(test)} if path else set()
    if arguments.one_each:
        only = _one_each({name: test for name, test in read([arguments.only_passed_in]).items() if name in only})
    found = {path.name: path for path in sorted((arguments.flaggems / "tests").rglob("test_*.py"))}
    names = arguments.files or sorted({name.partition("::")[0] for name in only} & found.keys() if only else found)
    finished = {name for name in _finished(arguments.report)}
    arguments.report.parent.mkdir(parents=True, exist_ok=True)
    files = [found[name] for name in names if name not in finished]
    settings = {
        "flaggems": str(arguments.flaggems.resolve()),
        "report": str(arguments.report.resolve()),
        "sample": arguments.sample,
        "device": arguments.device,
        "chip": arguments.chip,
        "vendor": arguments.vendor,
        "limit": arguments.limit,
        "operators": operators,
    }
    with Progress() as progress:
        task = progress.add_task("files", total=len(files))
        for i in range(0, len(files), BATCH):
            _run_batch(arguments, settings, files[i : i + BATCH], only)
            progress.update(task, advance=len(files[i : i + BATCH]))


def _ran(test: dict[str, Any]) -> bool:
    return bool(test["outcome"] == "passed" and test.get("launches", 0))


def _failed(test: dict[str, Any]) -> bool:
    return test["outcome"] not in ("passed", "skipped", "xfailed")


def _one_each(tests: dict[str, dict[str, Any]]) -> set[str]:
    """The names of the quickest test of each operator."""
    quickest: dict[str, str] = {}
    for name, test in sorted(tests.items(), key=lambda item: item[1]["seconds"]):
        for operator in test["operators"]:
            quickest.setdefault(operator, name)
    return set(quickest.values())


def _finished(report: Path) -> list[str]:
    lines = report.read_text().splitlines() if report.exists() else []
    return [name for line in lines for name in json.loads(line).get("finished", ())]


def _run_batch(arguments: argparse.Namespace, settings: dict[str, Any], files: list[Path], only: set[str]) -> None:
    """Run the files' tests; where one ends the process, go on with the others in a new one."""
    deaths: set[str] = set()
    while True:
        done = read([arguments.report])
        own = {"files": [path.name for path in files], "done": sorted(done), "only": sorted(only - done.keys()) if only else []}
        if only and not any(name.partition("::")[0] in own["files"] for name in own["only"]):
            break
        status = _watch(arguments, settings | own, files)
        began = [name for name, test in read([arguments.report]).items() if test["outcome"] == "died" and "ended" not in test]
        for name in began:
            outcome = "hang" if status == "hang" else "died"
            _append(arguments.report, test=name, outcome=outcome, message=f"exit status {status}", ended=True)
        if not began:
            if status not in (0, 1, 5):
                _append(arguments.report, broken=own["files"], status=str(status))
            break
        if not set(began) - deaths:
            break
        deaths |= set(began)
    _append(arguments.report, finished=[path.name for path in files])


def _append(report: Path, **fields: Any) -> None:
    with report.open("a") as file:
        file.write(json.dumps(fields) + "\n")


def _watch(arguments: argparse.Namespace, settings: dict[str, Any], files: list[Path]) -> int | str:
    """Run pytest and end it where a test goes on past its limit in native code. Returns its status, or "hang"."""
    limit = int(arguments.memory * (1 << 30))
    passed_on = arguments.report.with_suffix(".settings.json").resolve()
    passed_on.write_text(json.dumps(settings))
    environment = os.environ | {
        "GEMS_CENSUS": str(passed_on),
        "PYTHONPATH": os.pathsep.join([str(HERE.resolve()), str(arguments.flaggems.resolve() / "src"), os.environ.get("PYTHONPATH", "")]),
        "OMP_NUM_THREADS": "1",
        "TRITON_SPACEMIT_THREADS": "1",
    }
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "--assert=plain", "-p", "plugin", "-p", "no:cacheprovider"]
    command += ["-W", "ignore", "--color=no", "--ref", "cpu", *([] if arguments.full else ["--quick"])]
    with (arguments.report.with_suffix(".log")).open("w") as log:
        process = subprocess.Popen(
            [*command, *map(str, files)],
            cwd=arguments.flaggems,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        )
        written, since, used = 0.0, time.monotonic(), 0.0  # when the report was, and the processor time then
        while True:
            try:
                return process.wait(2.0)
            except subprocess.TimeoutExpired:
                now = arguments.report.stat().st_mtime if arguments.report.exists() else 0.0
                if now != written:
                    written, since, used = now, time.monotonic(), _processor_seconds(process.pid)
                waited, spent = time.monotonic() - since, _processor_seconds(process.pid) - used
                if spent > arguments.limit + GRACE or waited > PATIENCE * arguments.limit:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
                    return "hang"


def _processor_seconds(pid: int) -> float:
    """Of the process so far; 0 where it has just ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass
class Operator:
    """What the tests of one operator did."""

    outcomes: Counter[str] = field(default_factory=Counter)
    launches: int = 0
    control_passed: int = 0
    problems: list[tuple[str, str]] = field(default_factory=list)  # test, message

    @property
    def result(self) -> str:
        good, bad = self.outcomes["passed"], len(self.problems)
        if good and not bad:
            return "pass" if self.launches else "pass, no kernel"
        return "partly" if good else "fail" if bad else "skipped"


def by_operator(tests: dict[str, dict[str, Any]], control: dict[str, dict[str, Any]]) -> dict[str, Operator]:
    found: dict[str, Operator] = defaultdict(Operator)
    for name, test in tests.items():
        for operator in test["operators"]:
            entry = found[operator]
            entry.outcomes[test["outcome"]] += 1
            entry.launches += test.get("launches", 0)
            entry.control_passed += control.get(name, {}).get("outcome") == "passed"
            if _failed(test):
                entry.problems.append((name, test["message"]))
    return found


def verdicts() -> list[dict[str, str]]:
    """The rows of `verdicts.toml`: patterns of tests and of messages, whose fault it is, and the proof."""
    return tomllib.loads((HERE / "verdicts.toml").read_text())["verdict"]


def judge(test: str, message: str) -> tuple[str, str]:
    """Whose fault a failed test is, and the proof; "unknown" where no row matches."""
    for row in verdicts():
        if re.search(row.get("test", ""), test) and re.search(row.get("message", ""), message):
            return row["fault"], row["proof"]
    return "unknown", message[:160]


def table(tests: dict[str, dict[str, Any]], control: dict[str, dict[str, Any]], known: list[str]) -> str:
    operators = by_operator(tests, control)
    counts = Counter(entry.result for entry in operators.values())
    lines = [
        f"{len(known)} operators are listed, {len(operators)} have tests that ran: {_counted(counts)}",
        f"{len(tests)} tests: {_counted(Counter(test['outcome'] for test in tests.values()))}",
    ]
    if control:
        lines.append(f"control: {sum(_failed(test) for test in control.values())} of {len(control)} fail without kernels")
    faults: Counter[str] = Counter()
    rows = []
    for name in sorted(operators):
        entry = operators[name]
        if entry.result not in ("partly", "fail"):
            continue
        judged = dict.fromkeys(judge(*problem) for problem in entry.problems)
        for fault in {fault for fault, _ in judged}:
            faults[fault] += 1
        rows += [f"| {name} | {entry.result} | {fault} | {proof} |" for fault, proof in judged]
    lines.append(f"operators by whose fault: {_counted(faults)}")
    return "\n".join([*lines, "", "| operator | result | whose fault | proof |", "|---|---|---|---|", *rows])


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in counts.most_common())


if __name__ == "__main__":
    sys.exit(main())
