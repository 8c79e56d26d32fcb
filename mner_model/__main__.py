"""`python -m mner_model` is `mner-model`."""

from mner_model.cli import main

main(prog_name="mner-model")
