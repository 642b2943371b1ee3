"""Train the next bundled model from the corpus to the folder that is shipped, stage by stage.

    python -m tools.spark --pack FOLDER                # everything, hours; runs/spark-2 by default
    python -m tools.spark --pack FOLDER --from flow    # go on with a stage
    python -m tools.spark --show                       # print the commands, run nothing
    python -m tools.spark --pack FOLDER --trial        # a few clips and steps of each stage: does everything fit?

Each stage is one command of `arctone`, printed before it runs, and goes on where it was interrupted: Ctrl-C or SIGTERM,
then the same command again. The autoencoder begins with the kept weights in weights/spark-2; if --autoencoder names a
folder with a trained one, that is copied and the stage is left out.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
KEPT = ROOT / "weights" / "spark-2"
CARD = ROOT / "src" / "arctone" / "bundled" / "spark" / "card.md"
STAGES = ("autoencoder", "encode", "flow", "steps", "arc", "export")
# Of a trial: clips, and steps of each stage that is trained.
TRIAL_CLIPS = 60
TRIAL_STEPS = {"autoencoder": 2, "flow": 5, "steps": 2, "arc": 3}
# Paths are short, and critic, discriminator and generator all have a turn within the few steps of a trial.
_SHORT_PATHS = ("teacher.substeps=1", "teacher.step_counts=8,4")
TRIAL_SETTINGS = {"steps": _SHORT_PATHS, "arc": (*_SHORT_PATHS, "alignment.steps=1")}


@dataclass(frozen=True)
class Plan:
    """What is trained, and where.

    Args:
        out: Folder of the run.
        corpus: Source of clips.
        autoencoder: Folder of a trained autoencoder; None = it is trained.
        threads: CPU threads.
        workers: Processes that render clips.
        is_trial: Whether only a few clips and steps are taken.
    """

    out: Path
    corpus: str
    autoencoder: Path | None
    threads: int
    workers: int
    is_trial: bool

    @property
    def model(self) -> Path:
        """Folder of the autoencoder and of the flow model on its latents."""
        return self.out / "model"

    def commands(self) -> dict[str, list[str]]:
        """Return the words of each stage's command, in order."""
        latents = ["--latents", str(self.out / "latents")]
        begin, student = ["--init", str(self.model), *latents], ["--student", str(self.out / "steps")]
        export = ["export", "litert", str(self.out / "arc"), str(self.out / "spark")]
        found = {
            "autoencoder": self._train("autoencoder", "spark-2", "model", ["--init", str(KEPT), "--data", self.corpus]),
            "encode": self._encode(),
            "flow": self._train("flow", "spark-2", "model", latents),
            "steps": self._train("arc", "spark-steps", "steps", [*begin, "--set", "teacher.shift=1.5"]),
            "arc": self._train("arc", "spark-arc", "arc", [*begin, *student]),
            "export": [*export, "--card", str(CARD), "--force"],
        }
        if self.autoencoder is not None:
            del found["autoencoder"]
        return {name: self._shortened(name, words) for name, words in found.items()}

    def copy_autoencoder(self) -> None:
        """Copy a trained autoencoder into the run, without the state of its training; what is there stays."""
        if self.autoencoder is not None and not self.model.exists():
            # The copy becomes the folder of a training, to which the hashes and figures of the original do not apply.
            left_out = shutil.ignore_patterns("training-*", "hashes.json", "parity.json", ".arctone")
            shutil.copytree(self.autoencoder, self.model, ignore=left_out)

    def _train(self, stage: str, recipe: str, name: str, more: list[str]) -> list[str]:
        out = str(self.out / name)
        return ["train", stage, "--recipe", recipe, "--out", out, "--threads", str(self.threads), *more]

    def _encode(self) -> list[str]:
        where = ["--model", str(self.model), "--out", str(self.out / "latents")]
        how = ["--precision", "bf16-mixed", "--threads", str(self.threads), "--workers", str(self.workers)]
        return ["data", "encode", self.corpus, *where, *how]

    def _shortened(self, name: str, words: list[str]) -> list[str]:
        if not self.is_trial:
            return words
        if name == "encode":
            return [*words, "--limit", str(TRIAL_CLIPS)]
        steps = ["--steps", str(TRIAL_STEPS[name])] if name in TRIAL_STEPS else []
        settings = [word for setting in TRIAL_SETTINGS.get(name, ()) for word in ("--set", setting)]
        return [*words, *steps, *settings]


def corpus_name(pack: Path | None, strums: Path | None, seed: int) -> str:
    """Return the name of the second version of the corpus, with the recordings that are there."""
    parts = ["version=2", f"seed={seed}", "size=48000"]
    parts += [f"{name}={folder}" for name, folder in (("pack", pack), ("strums", strums)) if folder is not None]
    return "corpus:" + ",".join(parts)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print and run the commands; returns the exit code of the first that fails."""
    options = _parser().parse_args(arguments)
    corpus = corpus_name(options.pack, options.strums, options.seed)
    plan = Plan(options.out, corpus, options.autoencoder, options.threads, options.workers, options.trial)
    first = STAGES.index(options.begin)
    if not options.show:
        plan.copy_autoencoder()
    for name, words in plan.commands().items():
        if STAGES.index(name) < first:
            continue
        print(f"# {name}\narctone {shlex.join(words)}", flush=True)
        code = 0 if options.show else subprocess.run([sys.executable, "-m", "arctone", *words], check=False).returncode
        if code:
            return code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.spark", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/spark-2"), help="folder of the run")
    parser.add_argument("--pack", type=Path, help="folder of the audio pack")
    parser.add_argument("--strums", type=Path, help="folder of the kit with strummed guitars")
    parser.add_argument("--seed", type=int, default=2, help="of the corpus")
    parser.add_argument("--autoencoder", type=Path, help="folder of a trained autoencoder, which is not trained again")
    parser.add_argument("--from", dest="begin", choices=STAGES, default=STAGES[0], help="stage to begin with")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1, help="processes that render clips")
    parser.add_argument("--trial", action="store_true", help="a few clips and steps of each stage")
    parser.add_argument("--show", action="store_true", help="print the commands, run nothing")
    return parser


if __name__ == "__main__":
    sys.exit(main())
