"""What other systems have measured in this house before, brought into the own database."""
