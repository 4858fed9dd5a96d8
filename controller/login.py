"""`password`: how to log in to the screens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from controller.house import HOUSE_FILE, ROOT, read_house
from controller.messages import ProblemError, tell
from controller.place import HouseFolder

EVERYDAY: Final = "grafana_viewer_password"


def main(argv: Sequence[str]) -> int:
    """Print where the screens are and who may look at them."""
    if len(argv) > 1 or (argv and argv[0].startswith("-")):
        tell("Usage: ./appliance password [HOUSE]")
        return 0 if argv[0] in ("-h", "--help") else 2
    name = argv[0] if argv else read_house(ROOT / HOUSE_FILE, str(HOUSE_FILE)).name
    folder = HouseFolder(name)
    everyday = folder.secret(EVERYDAY)
    if everyday is None:
        others = [other for other in folder.others() if HouseFolder(other).secret(EVERYDAY)]
        problem = f"this computer keeps no passwords of the house {name}"
        if others:
            problem += f", but of {', '.join(others)}: ./appliance password {others[0]}"
        raise ProblemError(f"{problem}; ./appliance provision makes them, or fetches them")
    screens = folder.where_screens_are()
    tell(f"  Screens     {'  or  '.join(screens) or 'http://HOST:3000, HOST being the Pi'}")
    tell(f"  Everyday    house    {everyday}")
    if admin := folder.secret("grafana_admin_password"):
        tell(f"  Maintenance admin    {admin}")
    return 0
