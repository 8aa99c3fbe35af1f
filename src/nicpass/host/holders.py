# SPDX-License-Identifier: Apache-2.0
"""Who has a device open through VFIO. Source: Documentation/driver-api/vfio.rst; proc_pid_fd(5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.model.fact import known

if TYPE_CHECKING:
    from nicpass.host.files import Files
    from nicpass.model.fact import Fact

_CDEVS = "/dev/vfio/devices/"


def find_vfio_user(files: Files, iommu_group: Fact[int]) -> int | None:
    """The process that has this group open, or any device by the newer way, which does not name its group."""
    group = f"/dev/vfio/{iommu_group}" if known(iommu_group) else None
    processes = files.list_directory("/proc")
    for process in (name for name in (processes if known(processes) else ()) if name.isdecimal()):
        descriptors = files.list_directory(f"/proc/{process}/fd")
        for descriptor in descriptors if known(descriptors) else ():
            target = files.read_link(f"/proc/{process}/fd/{descriptor}")
            if isinstance(target, str) and (target == group or target.startswith(_CDEVS)):
                return int(process)
    return None
