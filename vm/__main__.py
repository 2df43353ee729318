"""`make vm-test`, or `python -m vm`: boot Debian's kernel, provision, play, compare the ladders.

Exit status: 0 all good; 1 something failed, making the image too; 2 wrong usage; 3 this machine
lacks something, which is named; 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from testbed.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_MISSING, EXIT_OK, TestbedError
from vm import contents
from vm.image import Image, cache_folder, image, write_project
from vm.ladders import differences, ladder_of, until_the_end
from vm.machine import Boot, dies_with_parent, run
from vm.plan import (
    PLAYS,
    SEED,
    USER,
    Outcome,
    Play,
    missing_facts,
    outcomes,
    plan_text,
    run_command,
    steps,
)

GOOD = {
    "packages": "the provisioner found all Debian packages there",
    "venv": "the provisioner found the virtual environment there, for the same setup.cfg",
    "doctor": "testbed run can work there; all kernel features are there",
}
"""What it means that a step of that name has gone well."""
_SHOWN = 6
"""So many lines of a difference are shown; all lie in the folder."""


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line, read."""
    parser = argparse.ArgumentParser(
        prog="python -m vm", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument(
        "plays",
        nargs="*",
        metavar="'NAME [OPTION...]'",
        help="scenarios with options of `testbed run`, each one argument, played as an ordinary "
        "user (default: those of vm/plan.py, which root plays too)",
    )
    parser.add_argument(
        "--also",
        action="append",
        default=[],
        metavar="COMMAND",
        help="run this in the VM too, as the ordinary user; may be given several times",
    )
    parser.add_argument("--out", type=Path, default=Path("runs/vm"), help="where results go")
    parser.add_argument(
        "--cache", type=Path, default=cache_folder(os.environ), help="where images are kept"
    )
    parser.add_argument(
        "--sources",
        action="append",
        type=Path,
        default=[],
        metavar="FILE",
        help="apt's sources that offer Debian 12 (default: those of this machine that do)",
    )
    parser.add_argument("--accelerator", choices=["tcg", "kvm"], default="tcg", help="of qemu")
    parser.add_argument(
        "--within-s",
        type=_seconds,
        default=600.0,
        metavar="SECONDS",
        help="end a VM that has not ended by itself (default: 600)",
    )
    parser.add_argument("--image-only", action="store_true", help="make the image, boot nothing")
    return parser.parse_args(words)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no time that ends")
    return value


class Progress:
    """Says what happens, each line with the seconds since the beginning."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __call__(self, line: str) -> None:
        """One line."""
        print(f"{time.monotonic() - self._began:6.1f} s  {line}", flush=True)


def chosen(options: argparse.Namespace) -> list[Play]:
    """The scenarios that the command line asks for."""
    named = [Play(USER, tuple(shlex.split(words))) for words in options.plays]
    return named or list(PLAYS)


def play_here(play: Play, out: Path) -> int:
    """Play a scenario on this machine's kernel; the exit status."""
    program = f"{shlex.quote(sys.executable)} -m testbed"
    with Path(f"{out}.log").open("wb") as log:
        done = subprocess.run(
            ["bash", "-c", run_command(f"exec {program}", play.words, out)],
            cwd=contents.ROOT,
            stdout=log,
            stderr=log,
            preexec_fn=dies_with_parent,
            check=False,
        )
    return done.returncode


def judge_step(step: Outcome | None, name: str, results: Path) -> list[str]:
    """What is wrong with a step; [] nothing."""
    if step is None:
        return ["it was not taken"]
    if step.status != 0:
        said = [
            line
            for end in ("err", "out")
            for line in (results / f"{name}.{end}").read_text(errors="replace").splitlines()
        ]
        return [f"ended with {step.status}", *said[-_SHOWN:]]
    if name.startswith("doctor"):
        return missing_facts((results / f"{name}.out").read_text())
    if name.startswith(("packages", "venv")):
        said = (results / f"{name}.out").read_text().splitlines()
        return [f"was to find everything there, and said: {said[0]}"] if said else []
    return []


def compare(here: Path, there: Path) -> tuple[int, list[str]]:
    """How many arrows the ladders of all sub-runs have here, and where the others differ."""
    found, count = [], 0
    folders = {
        run.parent.relative_to(side) for side in (here, there) for run in side.rglob("run.json")
    }
    for folder in sorted(folders):
        if not ((here / folder / "run.json").exists() and (there / folder / "run.json").exists()):
            found.append(f"{folder}: only on one side")
            continue
        ladder, twin = ladder_of(here / folder), ladder_of(there / folder)
        count += sum(map(len, until_the_end(ladder, twin).values()))
        found += [f"{folder}: {line}" for line in differences(ladder, twin)]
        found += [f"{folder}: {line}" for line in other_verdicts(here / folder, there / folder)]
    return count, found if count else ["no ladder was drawn"]


def other_verdicts(here: Path, there: Path) -> list[str]:
    """The requirements of a scenario's folder with another verdict there than here."""
    sides = []
    for side in (here, there):
        path = side / "verdicts.json"  # a variant's folder has none of its own
        told = json.loads(path.read_text())["verdicts"] if path.exists() else []
        sides.append({each["requirement"]: each["verdict"] for each in told})
    ours, theirs = sides
    return [
        f"{name} is {ours.get(name, 'not judged')} here and {theirs.get(name, 'not judged')} there"
        for name in sorted({*ours, *theirs})
        if ours.get(name) != theirs.get(name)
    ]


def boot_and_judge(options: argparse.Namespace, made: Image, tell: Progress) -> int:
    """Boot, play, compare; the exit status."""
    out: Path = options.out.resolve()
    shutil.rmtree(out, ignore_errors=True)
    results, twins = out / "results", out / "here"
    for folder in (results, twins):
        folder.mkdir(parents=True)
    plays = chosen(options)
    planned = steps(plays, options.also)
    project = out / "project.tar"
    write_project(project, {"plan": plan_text(planned)})
    tell(f"boots      Linux {made.kernel} by {options.accelerator}; its console: {out}/console.log")
    boot = Boot(
        made.folder, project, out, accelerator=options.accelerator, within_s=options.within_s
    )
    run(boot, lambda line: tell(f"VM         {line}"))
    subprocess.run(
        ["tar", "-x", "--no-same-owner", "-f", out / "results.tar", "-C", results], check=True
    )
    (out / "results.tar").unlink()
    project.unlink()

    done = outcomes((results / "steps").read_text())
    failed = 0
    for step in planned:
        wrong = judge_step(done.get(step.name), step.name, results)
        failed += _told(
            tell, step.name, GOOD.get(step.name.partition(".")[0], "as expected"), wrong
        )
    alone = 0
    for play in plays:
        name = f"ladder of {play.name}"
        twin = twins / play.name
        status = play_here(play, twin)
        if status == EXIT_MISSING:
            tell(f"left out   {name}: this machine lacks what plays it ({twin}.log)")
            alone += 1
            continue
        if status != EXIT_OK:
            failed += _told(tell, name, "", [f"this machine's kernel fails: {twin}.log"])
            continue
        count, wrong = compare(twin, results / play.name)
        (out / f"{play.name}.differences").write_text("".join(f"{line}\n" for line in wrong))
        failed += _told(tell, name, f"{count} arrows as on this machine's kernel", wrong)
    tell(f"results    {out} (seed {SEED})")
    if failed:
        tell(f"FAILED     {failed} of the above")
    else:
        tell("good       everything" + (f" but {alone} ladders left out" if alone else ""))
    return EXIT_FAILED if failed else EXIT_OK


def _told(tell: Progress, name: str, good: str, wrong: Sequence[str]) -> int:
    """Tell what came of one thing; 1 where something is wrong with it."""
    tell(f"{'FAILED' if wrong else 'good':9}  {name}: {wrong[0] if wrong else good}"[:400])
    for line in wrong[1:_SHOWN]:
        tell(f"{'':11}{line[:400]}")
    return int(bool(wrong))


def main(words: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    options = arguments(words)
    tell = Progress()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        sources = contents.apt_sources(options.sources)
        made = image(options.cache.resolve(), sources, Path(sys.executable), tell)
        return EXIT_OK if options.image_only else boot_and_judge(options, made, tell)
    except TestbedError as error:
        print(f"vm-test: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("vm-test: ended by Ctrl-C", file=sys.stderr)
        return EXIT_INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
