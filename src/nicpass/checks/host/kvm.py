# SPDX-License-Identifier: Apache-2.0
"""Whether KVM can run a VM here: the processor's flag, the module, the device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.catalogue import Finder
from nicpass.checks.host.firmware_menu import describe_menu, is_other
from nicpass.model.fact import known
from nicpass.model.language import _

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.model.finding import Finding
    from nicpass.model.host import Host

make_finding = Finder("host.kvm")


def check_kvm(host: Host) -> Iterator[Finding]:
    """The processor's flag comes first: /dev/kvm may open on a machine where no guest runs.

    What was not captured is no finding. The node /dev/kvm may be there without the module, made at boot from
    modules.devname; then it cannot be opened.
    """
    platform = host.platform
    menu = describe_menu(platform, "virtualization")
    module = "kvm_intel" if platform.virtualization == "vmx" else "kvm_amd"
    if is_other(platform):
        module = "kvm_hv" if platform.architecture == "power" else "kvm"
    state = platform.module_state(module)
    if platform.virtualization is None and known(platform.cpu_vendor):
        evidence = (("/proc/cpuinfo", "neither vmx nor svm in flags"),)
        yield make_finding("CPU_NO_VIRTUALIZATION", evidence=evidence, menu=menu)
    elif platform.kvm_device is False or (platform.kvm_works is False and state in ("loadable", "absent")):
        if state == "absent" and not is_other(platform):  # with others it is mostly built in
            evidence = ((f"/lib/modules/{platform.kernel}/modules.dep", f"no {module}"),)
            yield make_finding("KVM_MODULE_ABSENT", evidence=evidence, module=module)
        else:
            shown = platform.kvm_error or "absent"
            yield make_finding("KVM_ABSENT", evidence=(("/dev/kvm", shown),), module=module, menu=menu)
    elif platform.kvm_works is False:
        reason = platform.kvm_error or _("it does not say why")
        yield make_finding("KVM_UNUSABLE", evidence=(("/dev/kvm", reason),), reason=reason)
