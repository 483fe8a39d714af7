#!/usr/bin/env python3
"""Runs a command under a seccomp filter that answers the three io_uring system calls with an errno, as container
runtimes do. Usage: deny_uring.py EPERM|ENOSYS COMMAND..."""
import ctypes
import errno
import os
import platform
import struct
import sys

AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}[platform.machine()]
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, MODE_FILTER = 38, 22, 2
RET_ALLOW, RET_ERRNO = 0x7FFF0000, 0x00050000
LD_ABS, JEQ, JGE, RET = 0x20, 0x15, 0x35, 0x06


def ins(code, jt, jf, k):
    return struct.pack("HBBI", code, jt, jf, k)


code = getattr(errno, sys.argv[1])
program = b"".join([
    ins(LD_ABS, 0, 0, 4),               # arch
    ins(JEQ, 0, 4, AUDIT_ARCH),         # another arch: allow
    ins(LD_ABS, 0, 0, 0),               # system call number
    ins(JGE, 0, 2, 425),                # io_uring_setup 425, enter 426, register 427
    ins(JGE, 1, 0, 428),
    ins(RET, 0, 0, RET_ERRNO | code),
    ins(RET, 0, 0, RET_ALLOW),
])
buffer = ctypes.create_string_buffer(program, len(program))
fprog = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(buffer)))
libc = ctypes.CDLL(None, use_errno=True)
for args in ((PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (PR_SET_SECCOMP, MODE_FILTER, ctypes.addressof(fprog), 0, 0)):
    if libc.prctl(*[ctypes.c_ulong(a) for a in args]):
        sys.exit("prctl: " + os.strerror(ctypes.get_errno()))
os.execvp(sys.argv[2], sys.argv[2:])
