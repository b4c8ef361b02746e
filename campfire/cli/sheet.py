"""The verb that draws: sheets of objects."""

from __future__ import annotations

import click

from campfire.cli.common import client_options, make_client, success

__all__ = ["sheet_command"]


@click.command("sheet", epilog="Example: campfire sheet J123653.43+621428.3 --pdf one.pdf")
@click.argument("objects", nargs=-1, required=True, metavar="OBJECT...")
@click.option("--pdf", required=True, type=click.Path(dir_okay=False), help="The file to write.")
@click.option("--fov", type=float, default=5.0, show_default=True, help="Width of the images in arcsec.")
@click.option("--overwrite", is_flag=True, help="Replace the file.")
@client_options
def sheet_command(
    objects: tuple[str, ...],
    pdf: str,
    fov: float,
    overwrite: bool,
    base_url: str | None,
    data_dir: str | None,
) -> int:
    """Draw a page an object: image, spectra of every grating, photometry, redshift fit, facts."""
    with make_client(base_url, data_dir) as cf:
        path = cf.sheets(objects, pdf, fov=fov, overwrite=overwrite)
    success(f"{len(set(objects))} {'sheets' if len(set(objects)) > 1 else 'sheet'} in {path}")
    return 0
