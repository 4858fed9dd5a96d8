#!/bin/sh
# build.sh OUTPUT.deb: the package `grafana` with the stand-in in it. It has the vendor's
# names and places, so that the role cannot tell them apart. The same files give the same sum.
set -eu
umask 022

output=$(readlink -m "${1:?name the package to write, such as grafana.deb}")
cd "$(dirname "$0")"
version=$(sed -n 's/^VERSION: Final = "\(.*\)"/\1/p' grafana_stand_in.py)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

chmod 0755 "$tree"
install -D -m 0755 grafana_stand_in.py "$tree/usr/share/grafana/bin/grafana"
install -D -m 0644 grafana-server.service "$tree/usr/lib/systemd/system/grafana-server.service"
install -d "$tree/usr/sbin" "$tree/etc/default" "$tree/DEBIAN"
ln -s ../share/grafana/bin/grafana "$tree/usr/sbin/grafana"

cat >"$tree/usr/sbin/grafana-server" <<'SH'
#!/bin/sh
exec /usr/share/grafana/bin/grafana server "$@"
SH

cat >"$tree/etc/default/grafana-server" <<'ENV'
CONF_FILE=/etc/grafana/grafana.ini
DATA_DIR=/var/lib/grafana
PROVISIONING_CFG_DIR=/etc/grafana/provisioning
ENV

cat >"$tree/DEBIAN/control" <<CONTROL
Package: grafana
Version: $version
Architecture: all
Maintainer: House power monitor <root@localhost>
Depends: adduser, python3, python3-yaml
Section: misc
Priority: optional
Description: stand-in for Grafana, for tests only
 This is not Grafana. It reads Grafana's configuration, serves a few calls of its API,
 and draws nothing.
CONTROL

echo /etc/default/grafana-server >"$tree/DEBIAN/conffiles"

# Like the vendor's: nothing is started at the first installation, and what lies in
# /etc/grafana is for root to write and for the service to read.
cat >"$tree/DEBIAN/postinst" <<'SH'
#!/bin/sh
set -e
[ "$1" = configure ] || exit 0
getent group grafana >/dev/null || addgroup --system --quiet grafana
id grafana >/dev/null 2>&1 || adduser --system --home /usr/share/grafana --no-create-home \
    --ingroup grafana --shell /bin/false --quiet grafana
install -d -o grafana -g grafana -m 0755 /var/lib/grafana /var/log/grafana
install -d -m 0755 /etc/grafana
install -d -m 0755 /etc/grafana/provisioning/datasources /etc/grafana/provisioning/dashboards
[ -e /etc/grafana/grafana.ini ] || echo '# all defaults' >/etc/grafana/grafana.ini
chown -Rh root:grafana /etc/grafana/*
find /etc/grafana -type f -exec chmod 640 {} +
find /etc/grafana -type d -exec chmod 755 {} +
if [ -n "$2" ]; then # an upgrade
    systemctl daemon-reload
    systemctl restart grafana-server || true
fi
SH

cat >"$tree/DEBIAN/prerm" <<'SH'
#!/bin/sh
set -e
[ "$1" != remove ] || systemctl disable --now grafana-server || true
SH

chmod 0755 "$tree/usr/sbin/grafana-server" "$tree/DEBIAN/postinst" "$tree/DEBIAN/prerm"
SOURCE_DATE_EPOCH=1600000000 dpkg-deb --root-owner-group -Zxz --build "$tree" "$output" >/dev/null
echo "$output: stand-in for Grafana $version"
