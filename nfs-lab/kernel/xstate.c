/*
 * Lets user-mode Linux run on a processor whose registers it does not know.
 *
 * Linux takes the registers of PTRACE_SETREGSET/NT_X86_XSTATE only as a whole (xstateregs_set() in
 * arch/x86/kernel/fpu/regset.c: EFAULT for any other size), and Debian's user-mode Linux 6.1 has room for
 * the 2696 bytes up to AVX-512 and PKRU. On a processor with AMX there are 11008, and the machine's
 * first program ends in "ptrace set fp regs failed, errno = 14". This library is preloaded and adds the
 * rest in its initial state: no program in the machine has asked the host for the permission to use it
 * (ARCH_REQ_XCOMP_PERM).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

typedef long call(enum __ptrace_request, ...);

/* Only one thread of the kernel calls ptrace(2); its stack is too small for this. */
static unsigned char registers[1 << 16] __attribute__((aligned(64)));

static long set_registers(call *next, int pid, struct iovec *known)
{
    static size_t size;
    struct iovec all = {registers, size ? size : sizeof registers};

    if (!size) {
        if (next(PTRACE_GETREGSET, pid, (void *)NT_X86_XSTATE, &all) < 0)
            return -1;
        size = all.iov_len;
        memset(registers, 0, size);
    }
    if (known->iov_len > size) {
        errno = EFAULT;
        return -1;
    }
    memcpy(registers, known->iov_base, known->iov_len);
    return next(PTRACE_SETREGSET, pid, (void *)NT_X86_XSTATE, &all);
}

/* As glibc declares it. */
long ptrace(enum __ptrace_request request, ...)
{
    static call *next;
    va_list rest;
    int pid;
    void *address, *data;

    va_start(rest, request);
    pid = va_arg(rest, int);
    address = va_arg(rest, void *);
    data = va_arg(rest, void *);
    va_end(rest);
    if (!next)
        next = (call *)dlsym(RTLD_NEXT, "ptrace");
    if (request == PTRACE_SETREGSET && (long)address == NT_X86_XSTATE)
        return set_registers(next, pid, data);
    return next(request, pid, address, data);
}
