#!/usr/bin/env python3
"""Runs a command under a seccomp profile in the form that Docker reads, with nothing else around it.
Usage: under_seccomp.py PROFILE.json COMMAND..."""
import ctypes
import json
import os
import sys

ALLOW, ERRNO = 0x7FFF0000, 0x00050000
ACTIONS = {"SCMP_ACT_ALLOW": ALLOW}


def main():
    profile = json.load(open(sys.argv[1]))
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO", "only profiles that refuse by default"
    lib = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    lib.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(lib.seccomp_init(ctypes.c_uint32(ERRNO | profile["defaultErrnoRet"])))
    for group in profile["syscalls"]:
        for name in group["names"]:
            number = lib.seccomp_syscall_resolve_name(name.encode())
            if number == -1:
                sys.exit(f"no system call is named {name}")  # one of another architecture has a negative number, not -1
            if number >= 0:
                rc = lib.seccomp_rule_add_array(context, ctypes.c_uint32(ACTIONS[group["action"]]), number, 0, None)
                assert rc == 0, (name, os.strerror(-rc))
    rc = lib.seccomp_load(context)  # sets no_new_privs too
    if rc:
        sys.exit("seccomp_load: " + os.strerror(-rc))
    os.execvp(sys.argv[2], sys.argv[2:])


main()
