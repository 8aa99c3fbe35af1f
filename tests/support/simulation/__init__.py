# SPDX-License-Identifier: Apache-2.0
"""A simulated host: its kernel, its udev and its libvirt act on a folder, so that its state survives any death.

nicpass runs on it as it is: its readers read the tree, its planner plans, its engine and its handlers act through
doors (files, processes, netlink, libvirt) behind which the simulated kernel answers as Linux does. Every effect on
the host passes `Effects`, which can end the program there (SIGKILL) or let the effect fail.

- `clock`: time that passes when the program sleeps, and not by itself;
- `effects`: what befalls a run: deaths and faults;
- `hardware`: what the machine is made of;
- `kernel`, `interfaces`, `state`: the PCI core, drivers, SR-IOV, interfaces, udev's renaming, what is still to come;
- `doors`: `Files`, `Processes` and the netlink socket that nicpass is given;
- `libvirt`, `hooks`, `systemd`: the daemons, libvirt in place of its Python binding, with nicpass's guard as its hook;
- `contents`: the whole state of a host, to compare and to put back;
- `host`: runs commands, each in a process of its own; `boot`: the power goes and comes back;
- `scenes`, `course`: the changes that are cut off, and how each goes when it is not.
"""
