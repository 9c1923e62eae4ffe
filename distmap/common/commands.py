"""What the three command lines share: errors as one line, exit statuses 0, 2 and 130."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from distmap.common.errors import plain
from distmap.common.notices import shown_notices
from distmap.common.signals import handled


def _limit_size(context: click.Context, _option: click.Parameter, value: float | None) -> None:
    if value is None:
        return
    if not value > 0:
        raise ValueError(f"--max-megapixels {value:g}: must be above 0")
    from distmap.common.pictures import size_limit

    context.with_resource(size_limit(value))


SIZE_LIMIT = click.option(
    "--max-megapixels",
    type=float,
    metavar="N",
    expose_value=False,
    callback=_limit_size,
    help="Refuse larger pictures, which take much memory as a whole.  [default: 200]",
)

SOURCE = click.option(
    "--source",
    default="auto",
    show_default=True,
    metavar="branch1|localizer|student|auto",
    help="What the maps are of; auto: what was found best.",
)


class CommandGroup(click.Group):
    """A group of commands that never shows a traceback for wrong input.

    ``ValueError``, ``OSError``, click's own usage errors and whatever else a file, the memory or the disk is behind
    (see ``distmap.common.errors``) become one line ``error: ...`` on standard error and exit status 2; Ctrl-C, SIGTERM
    and SIGHUP end with status 130. Every other exception is a defect of the program and keeps its traceback.
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
            with handled(), shown_notices():
                status = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message(), err=True)
            sys.exit(2)
        except click.ClickException as error:
            _fail(error.format_message())
        except (click.Abort, KeyboardInterrupt):
            click.echo("stopped", err=True)
            sys.exit(130)
        except Exception as error:
            line = plain(error)
            if line is None:
                raise
            _fail(line)
        sys.exit(status if isinstance(status, int) else 0)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; see `click.Group.invoke`."""
        try:
            return super().invoke(ctx)
        except EOFError as error:
            # click would take it for the user's wish to stop.
            raise ValueError(str(error) or "a file ends too early; replace or remove it") from error


def _fail(message: str) -> NoReturn:
    # One line whatever the message holds: scripts read the last line of standard error.
    click.echo(f"error: {' '.join(message.split())}", err=True)
    sys.exit(2)
