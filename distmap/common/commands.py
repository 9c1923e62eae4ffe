"""What the three command lines share: errors as one line, exit statuses 0, 2 and 130."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from distmap.common.errors import plain


class CommandGroup(click.Group):
    """A group of commands that never shows a traceback for wrong input.

    ``ValueError``, ``OSError``, click's own usage errors and whatever else a file, the memory or the disk is behind
    (see ``distmap.common.errors``) become one line ``error: ...`` on standard error and exit status 2; Ctrl-C ends with
    status 130. Every other exception is a defect of the program and keeps its traceback.
    """

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command line; see `click.Command.main` for the arguments."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        try:
            status = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message(), err=True)
            sys.exit(2)
        except click.ClickException as error:
            _fail(error.format_message())
        except (click.Abort, KeyboardInterrupt) as error:
            cause = error.__cause__
            if isinstance(cause, EOFError):  # click takes it for Ctrl-D, whatever file has ended early
                _fail(plain(cause) or str(cause))
            click.echo("stopped", err=True)
            sys.exit(130)
        except Exception as error:
            line = plain(error)
            if line is None:
                raise
            _fail(line)
        sys.exit(status if isinstance(status, int) else 0)


def _fail(message: str) -> NoReturn:
    # One line whatever the message holds: scripts read the last line of standard error.
    click.echo(f"error: {' '.join(message.split())}", err=True)
    sys.exit(2)
