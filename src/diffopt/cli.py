"""The command line: `diffopt fit`, `people`, `prepare`, `convert`, `simulate`, `show`, `export`, `evaluate`, `sweep`,
`trial`, `config`, `train-prior`, `train-pose-prior`, `sample`.

Anything that the user can mend ends in one sentence and exit code 2.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from diffopt.errors import DiffoptError

console = Console(highlight=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 when done, 2 when the input must be mended first, 130 when interrupted.
    """
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
    except DiffoptError as error:
        # Escaped: the names of files, and of extras to install, have brackets.
        Console(stderr=True, highlight=False).print(f"[bold red]diffopt:[/] {escape(str(error))}", soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        console.print("Stopped. The same command goes on from the last checkpoint.")
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="diffopt", description="A person's true motion in the world from a video shot with a moving camera."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, summary: str, run: object) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=summary, description=summary)
        added.set_defaults(command=run)
        return added

    def configurable(added: argparse.ArgumentParser) -> None:
        added.add_argument(
            "--config",
            metavar="FILE",
            action="append",
            help="a YAML file, or the name of one that ships (demo); several are merged in their order",
        )
        added.add_argument("overrides", nargs="*", metavar="key=value", help="e.g. source=video.mp4 out=results/walk")

    fit = command("fit", "From a video or an observation to the person's motion in the world.", _fit)
    configurable(fit)
    fit.add_argument(
        "--all", dest="everyone", action="store_true", help="everyone of a video or a result file, in one world"
    )
    people = command("people", "Draw and list everybody in a video, to choose whom to fit.", _people)
    people.add_argument("video", help="the video")
    configurable(people)
    configurable(command("prepare", "From a video to an observation file, without fitting.", _prepare))
    configurable(command("config", "Print the whole configuration.", _config))
    configurable(command("train-prior", "Train a motion prior on a folder of motions.", _train_prior))
    evaluation = command("evaluate", "Score fits and other systems on a dataset; resumable, in parallel.", _evaluate)
    configurable(evaluation)
    evaluation.add_argument(
        "--recipe", metavar="FILE", action="append", help="how to fit, as `diffopt fit --config` takes it"
    )
    configurable(command("train-pose-prior", "Train a prior of single poses, for the ablation.", _train_pose_prior))
    sweep = command("sweep", "Run the trials of a sweep file here, without an account; resumable.", _sweep)
    sweep.add_argument("file", type=Path, help="a sweep file, as `wandb sweep` takes it")
    sweep.add_argument("--count", type=int, metavar="N", help="how many trials; a grid has an end of its own")
    # At least one, so that they may stand behind `--count` too.
    sweep.add_argument("overrides", nargs="+", metavar="key=value", help="source=walk.npz, and what all trials share")
    one = command("trial", "One trial of a sweep, over clips and seeds; what `wandb agent` runs.", _trial)
    one.add_argument("overrides", nargs="*", metavar="key=value", help="source=walk.npz out=out/sweep seeds=3 ...")
    sample = command("sample", "Draw motions from the prior, to see what it knows.", _sample)
    sample.add_argument("overrides", nargs="*", metavar="key=value", help="e.g. out=samples count=6 seed=1")
    convert = command("convert", "Other tools' result files of one video as an observation.", _convert)
    convert.add_argument("sources", nargs="+", type=Path, metavar="FILE", help="bodies, keypoints, camera, the video")
    convert.add_argument("--out", type=Path, required=True, metavar="OBS.npz", help="the observation to write")
    convert.add_argument("--from", dest="from_format", metavar="FORMAT", help="format of the first file")
    convert.add_argument("--person", metavar="NUMBER", help="whom to convert; else the one seen longest")
    convert.add_argument("--all", dest="everyone", action="store_true", help="one observation for each person")
    convert.add_argument("--body", default="free", metavar="MODEL", help="free, or your SMPL file")
    convert.add_argument("--keypoint-regressor", type=Path, metavar="FILE", help="keypoints over SMPL's vertices")
    export = command("export", "A result in another program's format.", _export)
    export.add_argument("result", type=Path, help="a result folder")
    export.add_argument("--format", required=True, help="amass, bvh, glb, gvhmr, json, slahmr, tram, tum or wham")
    export.add_argument("--out", type=Path, help="where to; else inside the result folder")
    simulate = command("simulate", "A captured motion as tools would see it on video, with its truth.", _simulate)
    simulate.add_argument("motion", type=Path, help="a file or folder of motions: AMASS, BVH or the project's pack")
    simulate.add_argument("--out", type=Path, required=True, metavar="OBS.npz", help="the observation to write")
    simulate.add_argument("--clip", metavar="NAME", help="which clip; else the first one")
    simulate.add_argument("--camera", default="follow", help="static, pan, follow, orbit, dolly, zoom or shake")
    simulate.add_argument("--errors", type=float, default=1.0, help="1: those of today's tools; 0: none")
    simulate.add_argument("--seed", type=int, default=0, help="of the performer's build, the camera and the errors")
    simulate.add_argument("--start", type=float, default=0.0, metavar="SECONDS", help="where in the clip to begin")
    simulate.add_argument("--seconds", type=float, help="how much of it to film; else all")
    show = command("show", "Draw the pictures of a result folder.", _show)
    show.add_argument("result", type=Path, help="a result folder")
    show.add_argument("--video", type=Path, help="the video to draw over, if it has moved")
    return parser


def _fit(options: argparse.Namespace) -> None:
    from diffopt.commands.fit import fit
    from diffopt.commands.fit_everyone import fit_everyone
    from diffopt.config import load_config

    config = load_config(options.config, options.overrides)
    fit_everyone(config, console) if options.everyone else fit(config, console)


def _people(options: argparse.Namespace) -> None:
    from diffopt.commands.people import show_people
    from diffopt.config import load_config

    show_people(load_config(options.config, [f"source={options.video}", *options.overrides]), console)


def _prepare(options: argparse.Namespace) -> None:
    from diffopt.commands.prepare import prepare_to_file
    from diffopt.config import load_config

    prepare_to_file(load_config(options.config, options.overrides), console)


def _config(options: argparse.Namespace) -> None:
    from diffopt.config import load_config, to_yaml

    print(to_yaml(load_config(options.config, options.overrides)), end="")


def _train_prior(options: argparse.Namespace) -> None:
    from diffopt.commands.train_prior import train_prior
    from diffopt.config import load_prior_training

    train_prior(load_prior_training(options.config, options.overrides), console)


def _evaluate(options: argparse.Namespace) -> None:
    from diffopt.commands.evaluate import evaluate
    from diffopt.config import load_evaluation

    evaluate(load_evaluation(options.config, options.overrides, options.recipe), console)


def _train_pose_prior(options: argparse.Namespace) -> None:
    from diffopt.commands.train_pose_prior import train_pose_prior
    from diffopt.config import load_pose_prior_training

    train_pose_prior(load_pose_prior_training(options.config, options.overrides), console)


def _sweep(options: argparse.Namespace) -> None:
    from diffopt.commands.sweep import sweep

    for path in sweep(options.file, options.count, options.overrides, console):
        console.print(f"  {path}", soft_wrap=True)


def _trial(options: argparse.Namespace) -> None:
    from diffopt.commands.trial import trial

    console.print(f"  {trial(options.overrides, console)}", soft_wrap=True)


def _sample(options: argparse.Namespace) -> None:
    from diffopt.commands.sample import sample
    from diffopt.config import load_sample

    for path in sample(load_sample(options.overrides)):
        console.print(f"  {escape(str(path))}", soft_wrap=True)


def _convert(options: argparse.Namespace) -> None:
    from diffopt.commands.convert import convert
    from diffopt.formats.reading import import_notes
    from diffopt.observation.observation import Observation

    written = convert(
        options.sources,
        options.out,
        options.from_format,
        options.person,
        options.everyone,
        options.body,
        options.keypoint_regressor,
    )
    for path in written:
        for line in import_notes(Observation.load(path)):
            console.print(f"  {escape(line)}", soft_wrap=True)
        console.print(f"Observation: {path}. Fit it with `diffopt fit source={path}`.", soft_wrap=True)


def _export(options: argparse.Namespace) -> None:
    from diffopt.commands.export import export_result

    console.print(f"  {export_result(options.result, options.format, options.out)}", soft_wrap=True)


def _simulate(options: argparse.Namespace) -> None:
    from diffopt.commands.simulate import simulate

    written = simulate(
        options.motion,
        options.out,
        options.clip,
        options.camera,
        options.errors,
        options.seed,
        options.start,
        options.seconds,
    )
    console.print(f"Observation: {written}. Fit it with `diffopt fit source={written}`.", soft_wrap=True)


def _show(options: argparse.Namespace) -> None:
    from diffopt.commands.show import show_again

    for path in show_again(options.result, options.video):
        console.print(f"  {path}")


if __name__ == "__main__":
    sys.exit(main())
