"""`diffopt people`: everybody in a video, to choose from."""

from pathlib import Path

from rich.console import Console
from rich.markup import escape

from diffopt.commands.fit import frontend_cache, people_sheet, result_folder
from diffopt.config import Config
from diffopt.errors import DiffoptError
from diffopt.frontend.contact_sheet import write_contact_sheet
from diffopt.frontend.people_table import in_words, table, write_table
from diffopt.frontend.prepare import look
from diffopt.frontend.video import VIDEO_SUFFIXES, is_video


def show_people(config: Config, console: Console) -> list[Path]:
    """`diffopt people`: draw everybody in a video with numbers, and list them.

    Args:
        config: `source` and `frontend` of it, and `out` as a fit takes it, which then finds what was found here.
        console: where to list them.

    Returns:
        The picture, and the list as JSON and as CSV.

    Raises:
        DiffoptError: as `prepare`, but not where nobody is found.
    """
    if not is_video(config.source):
        raise DiffoptError(f"'{config.source}': expected a video ({', '.join(VIDEO_SUFFIXES)}).")
    folder, start = result_folder(config), config.frontend.start_frame
    video, everybody = look(Path(config.source), config.frontend, frontend_cache(folder))
    rows, sheet = table(everybody, video, start), people_sheet(folder)
    write_contact_sheet(sheet, video, everybody, start)
    for row in rows:
        console.print(f"  {in_words(row)}")
    console.print(f"  {len(rows)} people: {escape(str(sheet))}", soft_wrap=True)
    if rows:
        command = f"diffopt fit source={config.source} frontend.person=1"
        console.print(f"  Fit one with `{escape(command)}`, or all with `diffopt fit --all`.", soft_wrap=True)
    return [sheet, *write_table(sheet.with_suffix(""), rows)]
