"""A virtual Pi: QEMU in the place of the board, with a card, USB ports, a watchdog and a plug.

It needs no KVM, no loop device and no rights but those for the port of its time server.
"""
