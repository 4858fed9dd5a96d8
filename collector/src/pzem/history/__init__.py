"""What other systems have measured in this house before, brought into the own database."""

from pzem.errors import PzemError


class ImportFailedError(PzemError):
    """The import cannot be done, or not to its end."""
