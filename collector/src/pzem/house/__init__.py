"""What the meters of the house together mean."""

from pzem.house.supply import House, HouseState, derive

__all__ = ["House", "HouseState", "derive"]
