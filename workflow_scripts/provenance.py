"""Tell what made one cell, and how to make it again: every job from the raw data on, with digests and costs."""

import argparse
import json
from pathlib import Path, PurePosixPath

from fedfactory.files import new_file
from fedfactory.provenance.lineage import Run, story_of
from fedfactory.script import run_script


def main(arguments: argparse.Namespace) -> None:
    """Write the story of the cell as JSON."""
    run = Run(Path(*arguments.scores.parts[:2]))
    story = story_of(run, str(PurePosixPath(arguments.scores)))
    with new_file(arguments.out) as file:
        file.write_text(json.dumps(story, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scores", type=Path, required=True, help="the cell's scores")
    parser.add_argument("--out", type=Path, required=True, help="JSON file")
    run_script(parser, main)
