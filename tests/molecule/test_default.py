"""The Molecule scenario: the whole appliance built, verified, broken, and verified again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(3600)
def test_the_whole_appliance(capfd: pytest.CaptureFixture[str]) -> None:
    """Run `molecule test`, its output shown as it comes; podman and mmdebstrap need root."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin:/sbin"
    as_root = [] if os.geteuid() == 0 else ["sudo", "--preserve-env=INFLUXDB_DEB,GRAFANA_DEB"]
    command = [
        "env",
        f"PATH={path}",
        "PYTHONDONTWRITEBYTECODE=1",
        "molecule",
        "test",
        "--no-command-borders",
    ]
    with capfd.disabled():
        done = subprocess.run([*as_root, *command], cwd=ROOT, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 0, "molecule test has failed; what it printed above says where"
