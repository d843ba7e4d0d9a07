"""The combinations of subjects and damages, in a fixed order, and the test of one of them."""

from __future__ import annotations

import os
import resource
import shutil
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from sage_ns.errors import SageError
from tests.corpus import (
    damage_arrays,
    damage_json,
    damage_pictures,
    damage_texts,
    subjects_capture,
    subjects_field,
    subjects_motion,
    subjects_priors,
    subjects_run,
    subjects_tracking,
)
from tests.corpus.damage import CANARY, Damage, Kind, Spot, Verdict, byte_damages
from tests.corpus.subject import Subject, fingerprint

MOST_SECONDS = 10.0
MOST_BYTES = 2 * 2**30
"""Growth of the memory while one file is read."""

_LONGEST_MESSAGE = 4000
_SHARE = 5
"""A quick corpus takes one of so many general damages for each subject."""

_STRUCTURAL: dict[Kind, Callable[[], list[Damage]]] = {
    "json": damage_json.json_damages,
    "npz": damage_arrays.npz_damages,
    "pickle": damage_arrays.pickle_damages,
    "torch": damage_arrays.torch_damages,
    "picture": lambda: damage_pictures.picture_damages("picture"),
    "mask": lambda: damage_pictures.picture_damages("mask"),
    "csv": damage_texts.text_damages,
    "jsonl": damage_texts.text_damages,
    "yaml": damage_texts.yaml_damages,
    "ply": damage_texts.ply_damages,
    "film": list,
    "npy": list,
}


def all_subjects() -> list[Subject]:
    """Every reader of a file that a user gives."""
    return [
        *subjects_capture.subjects(),
        *subjects_field.subjects(),
        *subjects_motion.subjects(),
        *subjects_priors.subjects(),
        *subjects_run.subjects(),
        *subjects_tracking.subjects(),
    ]


@dataclass(frozen=True)
class Case:
    """One damage of one file."""

    subject: Subject
    damage: Damage
    target: str
    seed: int

    @property
    def label(self) -> str:
        """What `python -m tests.corpus` takes to run the case alone."""
        return f"{self.subject.name} | {self.damage.name} | {self.target} | {self.seed}"

    @property
    def verdict(self) -> Verdict:
        """What must come of it."""
        if self.damage.name in self.subject.verdicts:
            return self.subject.verdicts[self.damage.name][0]
        if self.subject.kind in ("csv", "jsonl", "film") and self.damage.name.startswith("cut"):
            return "any"  # a shorter recording
        group = self.target.split("/")[0]
        if self.damage.verdict in ("refuse", "right") and self.target and {self.target, group} & self.subject.optional:
            return "any"
        return self.damage.verdict


class Corpus:
    """Whole inputs of all subjects in a folder, and their damages.

    Args:
        folder: empty folder.
        extent: "quick" = every damage of some subjects, "wide" = of all, "thorough" = also of every array and field.
        names: subjects; None = all.
    """

    def __init__(self, folder: Path, extent: str, names: list[str] | None = None) -> None:
        self.folder, self.extent = folder, extent
        self.canary = folder / "canary"
        os.environ[CANARY] = str(self.canary)
        self.subjects = [each for each in all_subjects() if names is None or each.name in names]
        self._whole: dict[str, Path] = {}
        self._values: dict[str, str] = {}
        ranks: dict[Kind, int] = {}
        self.cases: list[Case] = []
        for subject in self.subjects:
            ranks[subject.kind] = ranks.get(subject.kind, -1) + 1
            self.cases += self._of(subject, ranks[subject.kind])

    def whole(self, subject: Subject) -> Path:
        """Return the file of a subject, which must not be changed."""
        if subject.name not in self._whole:
            place = self.folder / "whole" / str(len(self._whole)) / "given"
            place.mkdir(parents=True)
            self._whole[subject.name] = subject.write(place)
        return self._whole[subject.name]

    def _of(self, subject: Subject, rank: int) -> Iterator[Case]:
        """Yield the cases of a subject; in a quick corpus, the subjects of a kind share the damages."""
        path = self.whole(subject)
        alike = sum(each.kind == subject.kind for each in self.subjects)
        general, own = byte_damages(), _STRUCTURAL[subject.kind]()
        for index, damage in enumerate((*general, *own)):
            share = _SHARE if index < len(general) else alike
            if self.extent == "quick" and (index + rank) % share:
                continue
            targets = [""] if damage.targets is None else list(damage.targets(path))
            random = Random(f"{subject.name} {damage.name}")
            if targets and self.extent != "thorough":
                targets = [random.choice(targets)]
            seeds = range(3 if self.extent == "thorough" and damage.random else 1)
            yield from (Case(subject, damage, target, seed) for target in targets for seed in seeds)

    def run(self, case: Case) -> str | None:
        """Damage a copy of the input and read it; return what went wrong, or None."""
        if case.subject.name not in self._values:
            self._values[case.subject.name] = fingerprint(case.subject.read(self._copied(case.subject)))
        path, expected = self._copied(case.subject), self._values[case.subject.name]
        try:
            case.damage.apply(Spot(path, case.target, Random(f"{case.label}")))
        except Exception as error:
            return f"this damage cannot be done to this input: {type(error).__name__}: {error}"
        # Time of the processor: a busy machine takes longer. `watch` notices a reader that waits.
        before, peak, start = _resident(), _peak(), time.process_time()
        fault = self._read(case, path, expected)
        seconds = time.process_time() - start
        if self.canary.exists():
            self.canary.unlink()
            return "code from the file was run"
        if _peak() > peak and _peak() - before > MOST_BYTES:
            return f"took {(_peak() - before) / 2**30:.1f} GiB of memory"
        return fault or (f"took {seconds:.0f} s of the processor" if seconds > MOST_SECONDS else None)

    def _copied(self, subject: Subject) -> Path:
        """Return the subject's file in a copy of its whole input, always in the same folder: values name it."""
        folder, whole = self.folder / "work" / "given", self.whole(subject)
        shutil.rmtree(folder.parent, ignore_errors=True)
        root = next(parent for parent in whole.parents if parent.name == "given")
        shutil.copytree(root, folder, copy_function=os.link)
        return folder / whole.relative_to(root)

    def _read(self, case: Case, path: Path, expected: str) -> str | None:
        try:
            value = case.subject.read(path)
        except SageError as error:
            return self._judged(case, path, error)
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)
            ours = [frame for frame in where if "sage_ns" in frame.filename] or where
            return f"{type(error).__name__}: {str(error)[:200]} (in {Path(ours[-1].filename).name}:{ours[-1].lineno})"
        try:
            found = fingerprint(value)
        except ValueError as error:
            return f"accepted, but {error}"
        if case.verdict == "refuse":
            return "accepted" + (", with the values of the whole file" if found == expected else "")
        return "accepted, but its values differ" if case.verdict in ("same", "right") and found != expected else None

    def _judged(self, case: Case, path: Path, error: SageError) -> str | None:
        message = str(error)
        if case.verdict == "same":
            return f"refused: {message[:300]}"
        names = (path.name, *case.subject.named)
        if not any(name in message for name in names):
            return f"the error does not name {path.name}: {message[:300]}"
        if len(message) > _LONGEST_MESSAGE:
            return f"the error has {len(message)} characters: {message[:200]}"
        return "the error quotes a password file" if "root:" in message else None


def _resident() -> int:
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


def _peak() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main(arguments: list[str]) -> int:
    """Run cases in this process, and print what went wrong.

    Args:
        arguments: parts of subjects' names, separated by commas; then texts that the labels of the cases contain;
            --quick = those of the quick test; --thorough = every array and field.
    """
    import tempfile

    warnings.simplefilter("ignore")
    failures = 0
    with tempfile.TemporaryDirectory() as name:
        parts = arguments[0].split(",") if arguments else [""]
        names = [each.name for each in all_subjects() if any(part in each.name for part in parts)]
        begin = time.process_time()
        corpus = Corpus(Path(name), next((text[2:] for text in arguments if text[:2] == "--"), "wide"), names)
        sys.stdout.write(f"{len(corpus.cases)} cases, made in {time.process_time() - begin:.0f} s of the processor\n")
        chosen = [
            case for case in corpus.cases if all(text in case.label for text in arguments[1:] if text[:2] != "--")
        ]
        for case in chosen:
            start = time.perf_counter()
            fault = corpus.run(case)
            failures += fault is not None
            if fault is not None or len(chosen) < 20:
                seconds = time.perf_counter() - start
                sys.stdout.write(f"{case.label} ({case.verdict}, {seconds:.2f} s): {fault or 'as expected'}\n")
                sys.stdout.flush()
        sys.stdout.write(f"{len(chosen)} cases, {failures} failures, {time.process_time() - begin:.0f} s\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
