"""The command `mner-model`: train, evaluate and tag.

What the commands do is in `mner_model.commands`; what each needs is imported inside it, so that `--help` does not wait
for a model library.
"""

from importlib.metadata import version

import click

from mner_model.commands.captions import caption, train_captioner
from mner_model.commands.evaluation import evaluate
from mner_model.commands.hashtags import evaluate_segmenter, segment, train_segmenter
from mner_model.commands.importing import import_
from mner_model.commands.output import Commands
from mner_model.commands.pieces import piece_vectors
from mner_model.commands.plots import plot
from mner_model.commands.reports import presets, report
from mner_model.commands.tagging import tag
from mner_model.commands.teaching import teach
from mner_model.commands.training import train


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("mner-stream"), prog_name="mner-model")
def main() -> None:
    """Find the people, places and organisations in posts; train and score what does it.

    Data goes to stdout, everything else to stderr. Exit status: 0 done, 1 failed, 2 wrong usage.
    """


for command in (
    *(tag, evaluate, import_, train, presets, report, teach, piece_vectors),
    *(train_captioner, caption, plot),
    *(segment, train_segmenter, evaluate_segmenter),
):
    main.add_command(command)
