"""Which mounted file systems hold no customer data but the kernel's own view of itself."""

from __future__ import annotations

import os

_KERNEL = frozenset({
    b"autofs", b"bdev", b"binfmt_misc", b"bpf", b"cgroup", b"cgroup2", b"configfs", b"debugfs",
    b"devpts", b"efivarfs", b"fusectl", b"hugetlbfs", b"mqueue", b"nfsd", b"nsfs", b"proc",
    b"pstore", b"resctrl", b"rpc_pipefs", b"securityfs", b"selinuxfs", b"smackfs", b"sysfs",
    b"tracefs",
})  # fmt: skip
_DEVICE, _TYPE_AFTER_DASH = 2, 1


def kernel_devices() -> frozenset[int]:
    """Return the devices of all mounted kernel file systems; none where that cannot be known."""
    try:
        with open("/proc/self/mountinfo", "rb") as file:
            lines = file.read().splitlines()
    except OSError:
        return frozenset()
    found = set()
    for line in lines:
        before, _, after = line.partition(b" - ")
        if after.split()[0] in _KERNEL:
            major, minor = before.split()[_DEVICE].split(b":")
            found.add(os.makedev(int(major), int(minor)))
    return frozenset(found)
