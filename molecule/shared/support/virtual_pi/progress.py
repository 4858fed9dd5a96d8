"""What parts are given to speak with."""

from collections.abc import Callable

Tell = Callable[[str], None]
"""Says at once how far it is."""
Figure = Callable[[str, str], None]
"""Notes what was measured, and its value with the unit, for the table at the end."""
