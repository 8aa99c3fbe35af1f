# SPDX-License-Identifier: Apache-2.0
"""What a snapshot for strangers may keep of each field (law 11): what is not allowed here is replaced.

A field of free text that has no rule is replaced as a name; a test sees to it that each has one.
"""

# ruff: noqa: SIM905  a hundred words are read more easily in lines than in a column

from __future__ import annotations

import re
from enum import StrEnum


class Rule(StrEnum):
    """How a field's text is redacted; what a rule does not know is replaced, the same by the same."""

    NAME = "name"
    """Always replaced: the name of a person, of a VM, of a machine."""
    WORD = "word"
    """Kept if it is one of the kernel's, libvirt's or our own words, or a number."""
    TEXT = "text"
    """Of each word of a sentence what the other rules keep; any other is left out."""
    KEPT = "kept"
    """Kept if it looks like a version, a product, a register or a list of numbers; MACs and addresses never."""
    DRIVER = "driver"
    """Kept if it is a known driver or module."""
    NETDEV = "netdev"
    """Kept if it is of the kernel's or systemd's scheme of names, and holds no MAC."""
    DEVICE = "device"
    """Kept if it is of the kernel's scheme of names for devices: `sda1`, `mlx5_0`."""
    PATH = "path"
    """Of each folder and of the file's name those that are on every host."""
    MAC = "mac"
    IP = "ip"
    UUID = "uuid"
    SERIAL = "serial"
    CMDLINE = "cmdline"
    IDENTITY = "identity"
    """The name of a boot entry, of which only its parts by known rules are kept."""
    EMPTY = "empty"
    ABSENT = "absent"


_BY_RULE = {
    Rule.NAME: "Platform.hostname Access.qemu_user DeviceNode.user DeviceNode.group Link.alias Session.user "
    "Domain.name "
    "Claim.holder DomainInterface.filter Andd.name ClassDevice.label BindingReport.name BootBinding.name "
    "DomainInterface.network LibvirtNetwork.name PciFunction.board_label "
    "Unguarded.vm GivenNic.vm VetoedVm.vm",
    Rule.WORD: "PciFunction.reset_methods PciFunction.power_state PciFunction.runtime_pm Platform.kernel_options "
    "Platform.cpu_vendor Platform.virtualization Platform.container Platform.lockdown Platform.iommu_tables "
    "Access.qemu_security_drivers IommuGroup.type ReservedRegion.type Link.operstate Link.kind "
    "Link.qdisc Link.vlan_protocol VfSettings.vlan_protocol VfSettings.link_state Setting.name Setting.value "
    "IpAddress.scope IpAddress.flags Route.protocol Route.scope Route.preference ClassDevice.subsystem "
    "Directive.command NetworkStorage.kind Claim.entry BindingReport.boot_pass DomainDevice.teaming "
    "Definition.arch Definition.firmware Definition.memory_mode Definition.placement Definition.cpu_mode "
    "Definition.address_bits_mode Definition.other_hostdevs VirtualIommu.model DomainInterface.type "
    "DomainInterface.model DomainInterface.teaming Session.program Holder.program BoundSocket.program "
    "ForeignNetdev.program Boot.programs Dmi.sys_vendor Dmi.board_vendor Dmi.bios_vendor Dmar.oem_id Ivrs.oem_id "
    "Dmar.oem_table_id Ivrs.oem_table_id ForeignUpper.kind ForeignUpper.program LibvirtNetwork.forward Intent.manager "
    "GivenNic.allow Veto.codes Veto.when Cpus.balancer Boot.mkconfig_shell",
    Rule.TEXT: "Host.pci_unread Unknown.unknown ConfigSpace.problems Platform.kvm_error Dmar.problems Ivrs.problems "
    "Cpus.unread CpuClaim.text Leftovers.unread DamagedFile.reason BindingReport.detail Boot.unread Boot.why_not_try "
    "Boot.evidence "
    "Directive.text Directive.value UdevRule.text IvhdEntry.special Activity.foreign_unseen Definition.unread_devices "
    "LibvirtNetwork.unread Intent.text Intents.unread Unguarded.when Unguarded.reason Unguarded.loss "
    "Veto.sentence Veto.hint Veto.mend Veto.command "
    "VfCount.text KernelWord.text BootLine.text BootLine.devices Authorship.shown Authorship.image Boot.unwritable",
    Rule.KEPT: "Platform.kernel Dmi.product_name Dmi.board_name Dmi.bios_version NumaNode.cpus Link.driver_version "
    "Link.firmware_version Leftovers.loaded_ids ModuleAlias.pattern Definition.machine Definition.memory_nodes "
    "Definition.cpuset Definition.emulator_pin CpuPin.cpus DeviceIdentity.slots KernelImage.release BootEntry.kernel "
    "Claim.device CpuClaim.cpus Interrupt.cpus Cpus.online Cpus.cores Cpus.isolated Cpus.nohz_full Definition.os_id "
    "Platform.interrupt_chips Guard.python_version Guard.package_version",
    Rule.DRIVER: "PciFunction.driver PciFunction.driver_override Module.name Directive.module DriverctlOverride.driver "
    "ModuleAlias.module BootBinding.driver BindingReport.driver BuiltinDriver.module",
    Rule.NETDEV: "PciFunction.netdevs Link.name Link.master Link.lower Link.altnames IpAddress.netdev IpAddress.label "
    "Route.netdev Rule.iif Rule.oif LinkManager.netdev NetworkStorage.netdev BoundSocket.netdev ForeignNetdev.netdev "
    "DomainInterface.source ForeignUpper.netdev ForeignUpper.lower FunctionDevice.netdevs Link.lowers Redirect.netdev "
    "Redirect.target Intent.netdev Intent.target LibvirtNetwork.bridge LibvirtNetwork.netdevs LibvirtNetwork.pfs "
    "Representor.netdev GivenLink.name GivenLink.altnames VfCount.netdev",
    Rule.DEVICE: "PciFunction.block_devices Platform.iommu_units IommuCapability.unit Link.parent_device "
    "ClassDevice.name FunctionDevice.name NetworkStorage.source PciFunction.rdma "
    "Representor.port",
    Rule.PATH: "DeviceNode.path LinkManager.profile ClassDevice.mounts Directive.path DriverctlOverride.path "
    "UdevRule.path Claim.path DamagedFile.path NetworkStorage.mounts FunctionDevice.nodes Holder.node "
    "ForeignNetdev.namespace DomainDevice.rom_file Boot.initramfs Boot.folders BootFile.path BootFile.target "
    "KernelImage.path GeneratedFile.path BootEntry.source ForeignUpper.namespace Intent.source "
    "DomainInterface.dev Platform.bmc Guard.python Guard.package Unguarded.path "
    "CpuClaim.source VfCount.source KernelWord.source BootLine.path Authorship.source Authorship.place",
    Rule.MAC: "Link.mac Link.permanent_mac VfSettings.mac DeviceIdentity.permanent_mac DomainDevice.mac "
    "DomainInterface.mac GivenLink.mac GivenLink.permanent_mac VfSettings.node_guid VfSettings.port_guid",
    Rule.IP: "Link.tunnel_local Link.tunnel_remotes IpAddress.address IpAddress.peer IpAddress.broadcast "
    "Route.destination Route.gateway Route.source Route.from_prefix Rule.source Rule.destination "
    "Session.local_address Session.peer_address Session.remote_host NetworkStorage.servers "
    "NetworkStorage.local_address",
    Rule.UUID: "Platform.boot_id Domain.uuid LibvirtNetwork.uuid Unguarded.uuid GivenNic.uuid VetoedVm.uuid",
    Rule.SERIAL: "ConfigSpace.serial_number DeviceIdentity.serial_number",
    Rule.CMDLINE: "Platform.cmdline BootEntry.arguments Boot.fallback_arguments Authorship.now",
    Rule.IDENTITY: "Boot.default_entry Boot.one_shot BootEntry.identity BootEntry.title",
    Rule.EMPTY: "BootEntry.text",
    Rule.ABSENT: "DomainDevice.xml DomainInterface.xml LibvirtNetwork.xml "
    "Definition.numatune_xml Definition.hugepages_xml "
    "GeneratedFile.before GeneratedFile.after BootFile.content",
}
RULES = {field: rule for rule, fields in _BY_RULE.items() for field in fields.split()}
"""`Struct.field` to its rule."""

WORDS = frozenset(
    # Kinds of interfaces, states, scopes, protocols: linux/if.h, linux/rtnetlink.h and iproute2's words
    "vlan macvlan macvtap ipvlan ipvtap bridge bond team vrf vxlan geneve gre gretap ip6gre ip6gretap sit ipip ip6tnl "
    "vti vti6 wireguard veth dummy ifb tun tap macsec hsr bareudp netdevsim openvswitch ipoib can vcan xfrm rmnet ppp "
    "erspan ip6erspan bridge_slave bond_slave amt gtp nlmon vsockmon batadv virt_wifi dsa up down unknown dormant "
    "lowerlayerdown notpresent testing global site link host nowhere kernel boot static redirect ra dhcp bird zebra "
    "keepalived babel bgp isis ospf rip eigrp mrouted low medium high default inet inet6 local noqueue mq pfifo_fast "
    "fq fq_codel htb noop ingress clsact pfifo tbf prio cake multiq mqprio taprio 802.1Q 802.1ad auto enable disable "
    "secondary temporary deprecated tentative noprefixroute permanent dadfailed optimistic nodad home mngtmpaddr "
    "stable-privacy autojoin mtu initcwnd advmss rtt ssthresh window hoplimit initrwnd quickack lock features "
    # PCI and IOMMU
    "flr af_flr pm bus device_specific acpi cxl_bus D0 D1 D2 D3hot D3cold error on off DMA DMA-FQ identity blocked "
    "unmanaged SVA direct direct-relaxable reserved msi dmar ivhd DMAR IVRS IORT VIOT vmx svm GenuineIntel "
    "AuthenticAMD HygonGenuine integrity confidentiality none IR- IO-APIC IR-IO-APIC PCI-MSI IR-PCI-MSI PCI-MSIX "
    "IR-PCI-MSIX DMAR-MSI HPET-MSI XT-PIC LAPIC GICv3 ITS-MSI fasteoi edge level PCI-MSI-edge IR-PCI-MSI-edge IOAPIC "
    # Storage, devices, containers, security drivers
    "nfs nfs4 cifs smb3 ceph iscsi nbd nvme nvme-tcp nvme-rdma fc fcoe drbd rbd 9p glusterfs fuse.sshfs fuse.glusterfs "
    "fuse block input drm graphics sound tty tpm usb scsi mdev pci lxc docker podman systemd-nspawn openvz rkt wsl "
    "container selinux apparmor dac rdma ptp uio vfio "
    # A VM's definition
    "efi bios x86_64 i686 aarch64 ppc64le s390x riscv64 strict preferred interleave restrictive passthrough emulate "
    "host-passthrough host-model maximum custom intel amd smmuv3 virtio network user ethernet direct hostdev mcast "
    "server client udp internal vdpa vhostuser nat route open private vepa "
    "e1000 e1000e rtl8139 virtio-net-pci transient persistent static "
    # Who configures interfaces
    "NetworkManager systemd-networkd ifupdown netplan initscripts wicked connman "
    # Programs
    "dash busybox irqbalance "
    "sshd sshd-session cockpit-session qemu-system-x86 qemu-kvm qemu-system-x86_64 libvirtd virtqemud systemd dockerd "
    "containerd-shim tcpdump dhclient dhcpcd chronyd ptp4l phc2sys nsenter ip bash sleep update-grub grub-mkconfig "
    "grub2-mkconfig grubby grub-install kernel-install bootctl ukify update-initramfs mkinitramfs dracut mkinitcpio "
    "proxmox-boot-tool rpm-ostree grub-reboot grub2-reboot grub-editenv grub2-editenv grub-set-default efibootmgr "
    # modprobe.d, udev rules and the kernel's arguments
    "options blacklist install softdep alias ids driver_override /bin/true /bin/false /usr/bin/true /usr/bin/false "
    "disable_vga disable_idle_d3 allow_unsafe_interrupts enable_unsafe_noiommu_mode enable_sriov nointxmask "
    "max_vfs pt nopt igfx_off sp_off sm_on sm_off forcedac force noforce soft fullflush force_enable force_isolation "
    "nosid no_x2apic_optout nopost posted_msi tboot_noforce downstream multifunction id bfsort nobfsort realloc "
    "noaer nomsi noats nommconf conf1 conf2 biosirq routeirq assign-busses hpbussize madvise always never verbose "
    "nosmt full nohz domain managed_irq y n Y N true false yes no initramfs unit ttyS0 ttyS1 tty0 tty1 ttyAMA0 hvc0 "
    # Our own reasons
    "absent permission denied damaged not captured empty larger than a number is no the in of at and it its on to by "
    "for with as from only could be can read asked running machine looked network namespaces namespace were into "
    "other config kernel controller depends VF see PF three numbers line lines resource bytes reached what above "
    "extended first root run device does answer ones reads capability list neither nor hexadecimal symbolic mount "
    "string text UTF-8 UTF-16 PCI address CPUs connection libvirt sysfs rtnetlink ethtool wireguard snapshot file "
    "folder directory such or operation permitted supported input/output that holds password stands where nicpass "
    "look entry entries default submenu menu condition chooses grub.cfg which has been left out strangers shown "
    "before after hook bound binding driver interface names name identity slot slots serial timed busy invalid "
    "argument exist exists interrupted system call resource temporarily unavailable EFI variables whole understood "
    "assigned shell word state table length header checksum record there are more behind so known too large cut "
    "short beyond unexpected value values missing several one two same another own all any an".split()
)
"""Words that say nothing of whose machine it is."""

VENDORS = frozenset(
    "Intel AMD Dell HP HPE Hewlett-Packard Lenovo Supermicro ASUSTeK ASUS Gigabyte GIGABYTE MSI ASRock Cisco Fujitsu "
    "Inspur Huawei Quanta QEMU SeaBIOS EDK II Inc. Inc Corporation Corp. Technology Co., Ltd. International "
    "Technologies American Megatrends Phoenix Insyde COMPUTER INC. System Systems Micro-Star Google Amazon EC2 "
    "Microsoft VMware, Xen Red Hat BOCHS BXPC ALASKA INTEL A M I DELL HPQOEM LENOVO SUPERM OEM Standard PC".split()
)
"""Makers of machines, boards and firmware."""

FLAVOURS = frozenset(
    "amd64 generic lowlatency pve el fc azure aws gcp cloud rt lts hwe oem bpo deb rc arch zen hardened lp default "
    "x86 arm64 armmp Ubuntu Debian fc38 fc39 fc40 fc41 fc42 el8 el9 el10 NAPI LTS PowerEdge ProLiant ThinkSystem "
    "PRIMERGY Gen8 Gen9 Gen10 Gen11 Plus Server Computer Product Name Q35 q35 i440FX i440fx PIIX pc virt ICH9 Rev "
    "focal jammy noble bionic http https debian ubuntu fedora redhat rhel centos rocky almalinux opensuse suse sles "
    "microsoft win archlinux freebsd org com IR IO APIC PCI MSI MSIX DMAR HPET GICv3 ITS edge level fasteoi".split()
)
"""Flavours of kernels and distributions, families of machines, parts of the names of interrupt controllers."""

DRIVERS = frozenset(
    "vfio_pci vfio vfio_iommu_type1 vfio_pci_core vfio_virqfd vfio_mdev mlx5_vfio_pci hisi_acc_vfio_pci qat_vfio_pci "
    "virtio_vfio_pci pds_vfio_pci nvgrace_gpu_vfio_pci xe_vfio_pci vfio_ap vfio_ccw iommufd kvm kvm_intel kvm_amd "
    "pci_stub "
    "uio_pci_generic igb_uio uio e1000 e1000e igb igbvf igc ixgbe ixgbevf i40e i40evf iavf ice idpf fm10k mlx4_core "
    "mlx4_en mlx5_core mlx4_ib mlx5_ib bnx2 bnx2x bnxt_en bnxt_re tg3 cxgb3 cxgb4 cxgb4vf be2net enic ena atlantic "
    "r8169 r8125 r8168 sfc sfc_siena sfc_ef100 qede qed qedr qedi qedf qlcnic netxen_nic liquidio liquidio_vf "
    "thunder_nic thunderx hns3 hclge hclgevf hinic nfp ionic mana gve atl1c alx sky2 skge forcedeth via_velocity "
    "jme ne2k_pci 8139too 8139cp virtio_pci virtio_net virtio_blk virtio_scsi virtio vmxnet3 hv_netvsc xen_netfront "
    "octeontx2_pf rvu_nicpf rvu_nicvf rvu_af cavium stmmac dwmac_intel macb amd_xgbe rtl8xxxu iwlwifi iwlmvm "
    "ath9k ath10k_pci ath11k_pci mt7921e rtw88_pci rtw89_pci brcmfmac pcieport ahci nvme nvme_core mpt3sas mpt2sas "
    "megaraid_sas smartpqi hpsa aacraid arcmsr isci lpfc qla2xxx mptsas xhci_hcd xhci_pci ehci_pci ehci_hcd uhci_hcd "
    "ohci_pci snd_hda_intel i915 xe amdgpu radeon nouveau nvidia nvidiafb ast mgag200 bochs cirrus qxl i801_smbus "
    "i2c_i801 lpc_ich intel_lpss mei_me ioatdma idxd ccp intel_vsec isst_if_mbox_pci skx_uncore agpgart_intel "
    "piix4_smbus ata_piix serial 8250_pci shpchp dw_dmac_pci proc_thermal irdma i40iw hfi1 ib_ipoib".split()
)
"""Drivers of the kernel and of NICs' makers, with underscores."""

PARTS = frozenset(
    "etc lib lib64 usr run var sys proc dev boot efi EFI home srv mnt media opt tmp root local share libexec bin sbin "
    "modprobe.d udev rules.d rules modprobe.conf grub grub2 grub.d grub.cfg grub.conf grubenv custom.cfg default "
    "kernel cmdline cmdline.d loader loader.conf entries Linux libvirt qemu qemu.conf hooks networks nwfilter images "
    "lib/vz pve nodes qemu-server lxc mapping driverctl.d nicpass boot.d journal nics systemd network netif links "
    "system NetworkManager system-connections devices interfaces interfaces.d ifstate netns bus pci class net module "
    "parameters drivers iommu iommu_groups firmware acpi tables dmi self task fd ns mountinfo cpuinfo config.gz "
    "meminfo interrupts infiniband vfio by-id by-path by-uuid mapper shm hugepages kvm machine-id passwd group "
    "modules modules.dep modules.alias modules.builtin initramfs-tools dracut.conf.d mkinitcpio.conf mkinitcpio.d "
    "dracut.conf vmlinuz initrd.img initramfs.img config resource driver physfn config conf.d sriov_config sno-initial"
    " efivars tcp tcp6 packet reset_method lost+found arch ubuntu debian fedora centos".split()
)
"""Names of folders and files that are on every host."""

NETDEV = re.compile(
    r"(?:lo|(?:eth|wlan|wwan|ib|br|vmbr|virbr|bond|team|dummy|ifb|vnet|tap|tun|macvtap|veth|docker|lxcbr|lxdbr|ppp|wg|"
    r"vxlan|vlan|gre|sit|tunl|vrf|podman|cni)\d{1,5}|docker_gwbridge|ovs-system|ovs-netdev|"
    r"(?:en|et|ib|sl|wl|ww)(?:o\d+|(?:P\d+)?(?:p\d+)?s\d+(?:f\d+)?)(?:u\d+)*(?:i\d+)?"
    r"(?:n(?:p?\d+)(?:s\d+)?|d\d+)?(?:[vr]\d+)*)(?:\.\d{1,4})?(?:v\d{1,3})?"
)
"""Names by the kernel's and systemd's schemes (systemd.net-naming-scheme(7)), with a VLAN's number; none with a MAC."""

DEVICE = re.compile(
    r"(?:[shv]d[a-z]{1,2}|xvd[a-z]|nvme\d{1,3}(?:c\d+)?(?:n\d+)?|mmcblk\d+|sr|md|dm-|loop|nbd|rbd|zram|input|event|"
    r"mouse|js|hidraw|card|controlC|renderD|pcmC\d+D|tty|ttyS|ttyAMA|hvc|fb|tpm|tpmrm|dmar|ivhd|virtio|ptp|uio|vfio|"
    r"uverbs|umad|issm|rdma_cm|sg|mlx4_|mlx5_|bnxt_re|irdma|qedr|hfi1_|efa_|rxe|siw|i40iw|cxgb4_|hns_|"
    r"(?:roce|ibp|iwp|hfi1)p?\d+s\d+(?:f\d+)?)\d{0,6}(?:p\d{1,3})?[pc]?|card\d+-[A-Z]+-(?:[A-Z]-)?\d+|"
    r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}(?:\.[0-7])?|(?:c\d{1,3})?pf\d{1,3}(?:(?:vf|sf)\d{1,6}|hpf)"
)
"""Names by the kernel's scheme for disks, screens, ports, RDMA and PTP devices, and ports of a card's switch."""

ARGUMENTS = re.compile(
    r"(?:(?:intel|amd|s390)?_?iommu(?:\.passthrough|\.strict)?|intremap|x2apic|nox2apic|nointremap|noapic|nolapic|"
    r"disableapic|apic|pci|pcie_(?:aspm|acs_override|ports|port_pm)|vfio\w*(?:\.\w+)?|kvm\w*(?:\.\w+)?|"
    r"module_blacklist|modprobe\.blacklist|rd\.driver\.(?:pre|blacklist|post)|initcall_blacklist|lockdown|efi|acpi|"
    r"nomodeset|quiet|ro|rw|(?:default_)?hugepages(?:z)?|hugepagesz|isolcpus|nohz_full|rcu_nocbs|mitigations|"
    r"transparent_hugepage|numa|numa_balancing|maxcpus|nosmt|console|splash|swiotlb|noiommu|nokaslr|debug)"
)
"""Kernel arguments whose values concern nicpass, as far as they are words that say nothing of whose machine it is."""
ARGUMENT_NAMES = frozenset(
    "root ip netroot nfsroot rootfstype rootflags rootdelay resume BOOT_IMAGE initrd init crashkernel rd.lvm.lv "
    "rd.luks.uuid rd.md.uuid rd.iscsi.initiator rd.iscsi.target.name rd.neednet biosdevname net.ifnames ifname bootdev "
    "selinux apparmor security audit systemd.unit systemd.machine_id locale vconsole.keymap panic loglevel".replace(
        "-", "_"
    ).split()
)
"""Names of other arguments; what they are set to is left out."""
