#!/bin/sh
# Every file of the host with type, mode, owner, size and time, but for what a running
# system and ssh sessions write by themselves.
find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /var/tmp \
    -o -path /var/log -o -path /var/lib/systemd -o -path /var/lib/sudo \) -prune \
    -o -type d -printf '%p d %m %U:%G\n' -o -printf '%p %y %m %U:%G %s %TY-%Tm-%TdT%TT %l\n' | LC_ALL=C sort
