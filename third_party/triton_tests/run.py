"""Run Triton's own language tests, from a checkout of its repository, on this backend or in Triton's interpreter.

    python third_party/triton_tests/run.py --triton CHECKOUT [--select EXPRESSION] [--files test_core.py ...]
        [--device host|qemu|interpreter] [--chip CHIP] [--jobs N] [--sample N] [--baseline REPORT ...] [--report REPORT]
        [--show REPORT ...]

Each test has a time limit; one that ends its process is recorded as crashed and the run goes on. The report is JSON, test by test; the
table that is printed counts by file, and with `--baseline` (the report of an interpreter's run) also how many of the tests that passed
there pass here. `--failed-in REPORT` runs only the tests that failed or crashed in an earlier report. Below it stands the memory that
the workers held as the run went on.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
OUTCOMES = ("passed", "failed", "crashed", "skipped", "xfailed")
GOOD = ("passed", "xfailed")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--triton", type=Path, required=True, help="a checkout of Triton's repository")
    parser.add_argument(
        "--files", nargs="*", default=None, help="test files, such as test_core.py or runtime/test_cache.py (default: all in unit/language)"
    )
    parser.add_argument("--select", default="", help="pytest's -k expression")
    parser.add_argument("--device", default="host", choices=("host", "qemu", "interpreter"))
    parser.add_argument("--chip", default="")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds for one test")
    parser.add_argument("--sample", type=int, default=0, help="run only so many tests, always the same ones")
    parser.add_argument("--exclusions", type=Path, default=HERE / "exclusions.txt")
    parser.add_argument("--baseline", type=Path, nargs="*", default=[], help="earlier reports to compare with")
    parser.add_argument("--show", type=Path, nargs="*", help="run nothing, print the table of these reports")
    parser.add_argument("--failed-in", type=Path, help="run only what failed or crashed in this report")
    parser.add_argument("--report", type=Path, default=Path("triton-tests.json"))
    arguments = parser.parse_args()
    baseline = merged(arguments.baseline) or None
    if arguments.show:
        print(table(merged(arguments.show), baseline))
        return 0

    folder = _folder(arguments)
    if not folder.is_dir():
        parser.error(f"{arguments.triton} is no checkout of Triton: it has no python/test/unit/language")
    files = [(folder.parent if "/" in name else folder) / name for name in arguments.files or []] or sorted(folder.glob("test_*.py"))
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        environment = _environment(arguments, Path(scratch))
        command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "plugin", "-n", str(arguments.jobs), "--dist", "worksteal"]
        command += ["--max-worker-restart", "100000", "--device", "cpu", "-p", "no:cacheprovider", "--color=no", "-W", "ignore"]
        command += ["-k", arguments.select] if arguments.select else []
        result = subprocess.run(
            [*command, *map(str, files)], cwd=arguments.triton / "python", env=environment, stdout=subprocess.PIPE, text=True
        )
    if not arguments.report.exists():
        print(result.stdout)
        return 2
    report = json.loads(arguments.report.read_text())
    print(table(report, baseline))
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{time.monotonic() - start:.0f} s, {used.ru_utime + used.ru_stime:.0f} s of processor time, {arguments.jobs} jobs")
    print(memory(report))
    return 0 if all(test["outcome"] in (*GOOD, "skipped") for test in report.values()) else 1


def merged(paths: list[Path]) -> dict[str, dict[str, Any]]:
    """Several reports as one; of a test in more than one the last counts."""
    report: dict[str, dict[str, Any]] = {}
    for path in paths:
        report |= json.loads(path.read_text())
    return report


def _folder(arguments: argparse.Namespace) -> Path:
    return arguments.triton / "python" / "test" / "unit" / "language"


def _environment(arguments: argparse.Namespace, scratch: Path) -> dict[str, str]:
    own = {
        "TRITON_TESTS_TIMEOUT": str(arguments.timeout),
        "TRITON_TESTS_EXCLUSIONS": str(arguments.exclusions.resolve()),
        "TRITON_TESTS_SAMPLE": str(arguments.sample),
        "TRITON_TESTS_REPORT": str(arguments.report.resolve()),
        "TRITON_CACHE_DIR": str(scratch / "cache"),
        "PYTHONPATH": os.pathsep.join([str(HERE.resolve()), str(_folder(arguments).resolve()), os.environ.get("PYTHONPATH", "")]),
        "OMP_NUM_THREADS": "1",
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",  # exhaustive tests allocate 64 MiB thousands of times: fewer page faults
    }
    arguments.report.unlink(missing_ok=True)
    if arguments.failed_in:
        failed = [name for name, test in json.loads(arguments.failed_in.read_text()).items() if test["outcome"] in ("failed", "crashed")]
        (scratch / "only.json").write_text(json.dumps(failed))
        own["TRITON_TESTS_ONLY"] = str(scratch / "only.json")
    if arguments.device == "interpreter":
        own["TRITON_INTERPRET"] = "1"
    else:
        own["TRITON_SPACEMIT_DEVICE"] = arguments.device
        own["TRITON_SPACEMIT_THREADS"] = "1"
        if arguments.chip:
            own["TRITON_SPACEMIT_CHIP"] = arguments.chip
    return os.environ | own


def table(report: dict[str, dict[str, Any]], baseline: dict[str, dict[str, Any]] | None = None) -> str:
    """Outcomes counted by file, the pass rate of what ran, and of what passed in the baseline and did not."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for name, test in report.items():
        file = name.partition("::")[0]
        for key in (file, "all"):
            counts[key][str(test["outcome"])] += 1
            if baseline is not None and test["outcome"] != "skipped":
                passed_there = baseline.get(name, {}).get("outcome") in GOOD
                group = "there" if passed_there else "rest"
                counts[key][group] += 1
                counts[key][f"{group} good"] += test["outcome"] in GOOD
    header = ["file", *OUTCOMES, "rate", *(["rate of baseline's", "rate of the rest"] if baseline is not None else [])]
    rows = [header]
    for file in sorted(counts, key=lambda key: (key == "all", key)):
        count = counts[file]
        good, ran = sum(count[key] for key in GOOD), sum(count[key] for key in OUTCOMES if key != "skipped")
        row = [file, *(str(count[outcome]) for outcome in OUTCOMES), _rate(good, ran)]
        if baseline is not None:
            row += [_rate(count[f"{group} good"], count[group]) for group in ("there", "rest")]
        rows.append(row)
    return "\n".join("| " + " | ".join(row) + " |" for row in [rows[0], ["---"] * len(header), *rows[1:]])


def memory(report: dict[str, dict[str, Any]]) -> str:
    """The resident memory of each worker after parts of its tests, where it ran at least a tenth of all."""
    workers: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for test in report.values():
        if test.get("resident_mib"):
            workers[test["worker_id"]].append((test["stop"], test["resident_mib"]))
    lines = []
    for worker, tests in sorted(workers.items()):
        if len(tests) * 10 >= len(report):
            tests.sort()
            parts = [tests[(len(tests) - 1) * percent // 100][1] for percent in (10, 25, 50, 75, 100)]
            lines.append(f"{worker}: {', '.join(map(str, parts))} MiB after 10, 25, 50, 75, 100 % of {len(tests)} tests")
    return "\n".join(lines)


def _rate(good: int, count: int) -> str:
    return f"{100 * good / count:.2f} %" if count else "-"


if __name__ == "__main__":
    sys.exit(main())
