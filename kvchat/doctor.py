"""`kvchat doctor`: checks the cache on this machine with random programs and an exact oracle.

The programs are those of `doctor_program.py`. Every program has its own seed, so a violation can be
replayed alone.
"""

import json
import multiprocessing
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from kvchat import errors
from kvchat.cli_options import Parser
from kvchat.device import choose_device
from kvchat.doctor_program import Findings, Program
from kvchat.native.kernels import KERNEL_NAMES, Kernels, choose_kernels, load

OPERATIONS_PER_PROGRAM = 250


def examine(
    seed: int,
    operations: int,
    seconds: float | None,
    device: str,
    kernels: Kernels | None = None,
) -> Findings:
    """Run programs with seeds seed, seed + 1, … until enough operations or seconds."""
    findings = Findings()
    deadline = None if seconds is None else time.monotonic() + seconds
    while findings.operations < operations:
        if deadline is not None and time.monotonic() >= deadline:
            break
        program = Program(seed, device, findings, kernels)
        findings.programs += 1
        findings.attention_programs += program.model is not None or program.is_dense
        try:
            program.run(OPERATIONS_PER_PROGRAM)
        except Exception as error:
            # Anything a program raises is a finding: report it and go on with the next.
            errors.fault_hook = None
            findings.violations += 1
            findings.failed_seeds.append(seed)
            findings.reasons.append(f"{type(error).__name__}: {error}")
            if findings.violations >= 20:
                break
        seed += 1
    return findings


def _work(
    seed: int, operations: int, seconds: float | None, device: str, library: Path | None
) -> Findings:
    torch.set_num_threads(1)
    kernels = None if library is None else load(library)
    return examine(seed, operations, seconds, device, kernels)


def main(arguments: Sequence[str]) -> int:
    """Run `kvchat doctor`; the exit status is 1 if anything was wrong."""
    parser = Parser(
        prog="kvchat doctor",
        description="Check the cache on this machine with random programs and an exact oracle.",
    )
    parser.add_argument("--operations", type=int, default=50_000, metavar="N")
    parser.add_argument("--seconds", type=float, metavar="S", help="stop after this time")
    parser.add_argument("--seed", type=int, default=1, metavar="K", help="of the first program")
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--kernel", choices=KERNEL_NAMES, default="auto", help="what attends on a CPU"
    )
    parser.add_argument("--processes", type=int, default=2, metavar="P")
    parser.add_argument("--json", action="store_true", help="print only the JSON line")
    options = parser.parse_args(arguments)
    if options.operations < 1 or not (options.seconds is None or options.seconds > 0):
        # A check of nothing would say that nothing is wrong.
        raise errors.InvalidArgument("--operations and --seconds need a number above 0.")
    device = choose_device(options.device)
    processes = max(1, options.processes) if device == "cpu" else 1
    if options.operations <= OPERATIONS_PER_PROGRAM:
        processes = 1
    kernels = None
    if device == "cpu":
        kernels = choose_kernels(options.kernel, lambda told: print(told, file=sys.stderr))
    started = time.monotonic()
    # Far apart, so that no two processes run the same program.
    jobs = [
        (
            options.seed + place * 1_000_000,
            -(-options.operations // processes),
            options.seconds,
            device,
            None if kernels is None else kernels.path,
        )
        for place in range(processes)
    ]
    total = Findings()
    if processes == 1:
        total.add(_work(*jobs[0]))
    else:
        with multiprocessing.get_context("spawn").Pool(processes) as pool:
            for findings in pool.starmap(_work, jobs):
                total.add(findings)
    seconds = time.monotonic() - started
    if not options.json:
        _print_report(total, device if kernels is None else f"{device} (native)", seconds)
    report = asdict(total) | {
        "seed": options.seed,
        "seconds": round(seconds, 2),
        "device": device,
        "kernel": "torch" if kernels is None else "native",
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    print(json.dumps(report), flush=True)
    return 1 if total.violations else 0


def _print_report(total: Findings, device: str, seconds: float) -> None:
    print(f"{total.operations} operations in {total.programs} programs on {device}: ", end="")
    print(f"{total.tokens_compared} tokens compared in {seconds:.1f} s, ", end="")
    print(f"{total.faults_planted} failures planted, {total.violations} violations.")
    for seed, reason in zip(total.failed_seeds, total.reasons, strict=True):
        print(f"  {reason}", file=sys.stderr)
        print(f"  replay with: kvchat doctor --seed {seed} --operations 1", file=sys.stderr)
