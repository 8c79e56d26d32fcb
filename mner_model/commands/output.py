"""Standard output that takes no more: told in one line by every program of the project."""

import errno
import os
import sys
from typing import Any

import click

from mner_model.errors import reason

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Commands(click.Group):
    """A program's commands: where standard output takes no more, that is said in one line, with exit status 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was named."""
        try:
            return super().invoke(ctx)
        except OSError as error:
            if error.errno not in _FULL or error.filename is not None:
                raise
            write_into_the_void()
            click.echo(f"{ctx.info_name}: standard output cannot be written: {reason(error)}", err=True)
            ctx.exit(1)


def write_into_the_void() -> None:
    """Python flushes standard output once more as it ends, and would complain of the same again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
