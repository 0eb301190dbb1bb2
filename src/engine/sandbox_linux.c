// SPDX-License-Identifier: MIT
/* The sandbox on Linux: see sandbox.h. The order is fixed: Landlock needs no_new_privs, and seccomp
 * comes last because it forbids what the other steps use. The kernel's structures are written out here,
 * since the headers of a distribution are often older than its kernel. */
#include "engine/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void warn(const char *what, const char *so)
{
    fprintf(stderr, "sandbox: %s: %s -> %s\n", what, strerror(errno), so);
}

/* --- Landlock (Documentation/userspace-api/landlock.rst) --- */
struct ruleset_attr {
    uint64_t fs, net, scoped;
};
struct path_attr {
    uint64_t access;
    int32_t fd;
} __attribute__((packed));

enum { LL_CREATE = 444, LL_ADD = 445, LL_RESTRICT = 446, LL_VERSION = 1, LL_PATH = 1 };
enum { /* access rights to files, by the bit's number */
       LL_EXECUTE,
       LL_WRITE_FILE,
       LL_READ_FILE,
       LL_READ_DIR,
       LL_REMOVE_DIR,
       LL_REMOVE_FILE,
       LL_MAKE_CHAR,
       LL_MAKE_DIR,
       LL_MAKE_REG,
       LL_MAKE_SOCK,
       LL_MAKE_FIFO,
       LL_MAKE_BLOCK,
       LL_MAKE_SYM,
       LL_REFER,
       LL_TRUNCATE,
       LL_IOCTL_DEV,
};
#define LL(x)   (UINT64_C(1) << LL_##x)
#define LL_READ (LL(EXECUTE) | LL(READ_FILE) | LL(READ_DIR))
#define LL_WRITE                                                                                   \
    (LL(WRITE_FILE) | LL(REMOVE_FILE) | LL(MAKE_REG) | LL(MAKE_SOCK) | LL(TRUNCATE) | LL(IOCTL_DEV))
#define LL_FILE (LL(EXECUTE) | LL(READ_FILE) | LL(WRITE_FILE) | LL(TRUNCATE) | LL(IOCTL_DEV))

/* All that an ABI knows: index is the ABI's version. */
static uint64_t all_of_abi(long abi)
{
    uint64_t all = (LL(MAKE_SYM) << 1) - 1;
    if (abi >= 2)
        all |= LL(REFER);
    if (abi >= 3)
        all |= LL(TRUNCATE);
    if (abi >= 5)
        all |= LL(IOCTL_DEV);
    return all;
}

static void allow(int ruleset, const char *path, uint64_t access)
{
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return; /* not on this machine */
    struct stat st;
    if (fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode))
        access &= LL_FILE;
    struct path_attr rule = {access, fd};
    if (syscall(LL_ADD, ruleset, LL_PATH, &rule, 0) != 0)
        warn(path, "it stays out of reach");
    close(fd);
}

static unsigned landlock(const struct sandbox *s)
{
    long abi = syscall(LL_CREATE, NULL, 0, LL_VERSION);
    if (abi < 1) {
        warn("landlock is not there", "the engine could read this user's files");
        return 0;
    }
    struct ruleset_attr attr = {.fs = all_of_abi(abi), .net = 3 /* bind, connect */, .scoped = 3};
    size_t size = abi >= 6 ? 24 : abi >= 4 ? 16 : 8;
    int ruleset = (int)syscall(LL_CREATE, &attr, size, 0);
    if (ruleset < 0) {
        warn("landlock refused its rules", "the engine could read this user's files");
        return 0;
    }
    for (size_t i = 0; i < s->ro_count; i++)
        allow(ruleset, s->ro[i], LL_READ & attr.fs);
    for (size_t i = 0; i < s->rw_count; i++)
        allow(ruleset, s->rw[i], (LL_READ | LL_WRITE) & attr.fs);
    int rv = (int)syscall(LL_RESTRICT, ruleset, 0);
    if (rv != 0)
        warn("landlock could not be entered", "the engine could read this user's files");
    close(ruleset);
    if (rv != 0)
        return 0;
    return SANDBOX_LANDLOCK | (abi >= 4 ? SANDBOX_LANDLOCK_NET : 0);
}

/* --- seccomp --- */
#if defined __x86_64__
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined __aarch64__
#define OUR_ARCH AUDIT_ARCH_AARCH64
#endif

/* No engine needs them; each has been a way out of a sandbox, or to the node's own socket. */
static const int denied[] = {
    SYS_connect,
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    SYS_unshare,
    SYS_setns,
    SYS_bpf,
    SYS_perf_event_open,
    SYS_userfaultfd,
    SYS_keyctl,
    SYS_add_key,
    SYS_request_key,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_kexec_load,
    SYS_open_by_handle_at,
    SYS_reboot,
    SYS_swapon,
    SYS_swapoff,
    SYS_acct,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_io_uring_setup,
    SYS_pidfd_getfd,
};

#ifdef OUR_ARCH
static unsigned seccomp(void)
{
    enum { COUNT = sizeof denied / sizeof *denied };
    struct sock_filter code[COUNT * 2 + 16];
    unsigned short n = 0;
#define STMT(c, k) code[n++] = (struct sock_filter)BPF_STMT(c, k)
#define JUMP(k, yes, no)                                                                           \
    code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, k, yes, no)
    STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
    JUMP(OUR_ARCH, 1, 0);
    STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
#ifdef __x86_64__ /* the x32 numbers are a second door to the same calls */
    code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1);
    STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
#endif
    for (size_t i = 0; i < COUNT; i++) {
        JUMP((unsigned)denied[i], 0, 1);
        STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
    }
    /* Sockets of the unix family only (socket and socketpair have the family first). */
    JUMP(SYS_socket, 0, 3);
    STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0]));
    JUMP(AF_UNIX, 1, 0);
    STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAFNOSUPPORT);
    STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
#undef STMT
#undef JUMP
    struct sock_fprog prog = {n, code};
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &prog) != 0) {
        warn("seccomp is not there", "the engine could open network connections");
        return 0;
    }
    return SANDBOX_SECCOMP;
}
#else
static unsigned seccomp(void)
{
    fprintf(stderr, "sandbox: no seccomp rules for this processor -> left out\n");
    return 0;
}
#endif

/* --- the small ones --- */
static unsigned die_with(pid_t parent)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) {
        warn("no death signal", "the engine may outlive a killed node");
        return 0;
    }
    if (parent && getppid() != parent)
        _exit(125); /* it died before we asked */
    return SANDBOX_DEATH;
}

static unsigned limit_resources(void)
{
    struct rlimit none = {0, 0}, files = {1024, 1024}, now;
    if (getrlimit(RLIMIT_NOFILE, &now) == 0 && now.rlim_max < files.rlim_max)
        files.rlim_max = files.rlim_cur = now.rlim_max;
    if (setrlimit(RLIMIT_CORE, &none) != 0 || setrlimit(RLIMIT_NOFILE, &files) != 0) {
        warn("limits could not be set", "they stay as they are");
        return 0;
    }
    return SANDBOX_RLIMITS;
}

unsigned sandbox_enter(const struct sandbox *s)
{
    unsigned held = die_with(s->parent) | limit_resources();
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        warn("no_new_privs is not there", "no sandbox");
        return held;
    }
    held |= SANDBOX_PRIVS | landlock(s);
    return held | seccomp();
}

/* --- the environment: the node's has keys of backends and tokens of the user in it --- */
static bool is_kept(const char *variable)
{
    static const char *const names[] = {
        "PATH=",
        "HOME=",
        "LANG=",
        "LC_",
        "TZ=",
        "TMPDIR=",
        "LD_LIBRARY_PATH=",
        /* which processor or card, and how: of ggml, its threads and its drivers */
        "GGML_",
        "OMP_",
        "GOMP_",
        "KMP_",
        "OPENBLAS_",
        "MKL_",
        "BLIS_",
        "CUDA_",
        "NVIDIA_",
        "HIP_",
        "HSA_",
        "ROCR_",
        "ROCM_",
        "GPU_",
        "AMD_",
        "VK_",
        "MESA_",
        "RADV_",
        "ONEAPI_",
        "SYCL_",
        "ZE_",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strncmp(variable, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

static void clean_environment(void)
{
    char **to = environ;
    for (char **from = environ; from && *from; from++)
        if (is_kept(*from))
            *to++ = *from;
    if (to)
        *to = NULL;
}

/* What every program needs to start, and what ggml reads to learn of the machine. */
static const char *const common_ro[] = {
    "/usr",
    "/lib",
    "/lib64",
    "/bin",
    "/opt",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ssl",
    "/etc/OpenCL",
    "/etc/vulkan",
    "/etc/localtime",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/driver/nvidia",
    "/proc/self",
    "/sys/devices",
    "/sys/class",
    "/sys/bus/pci",
    "/sys/dev",
    "/dev/urandom",
    "/dev/random",
};
static const char *const common_rw[] = {
    "/dev/null",
    "/dev/zero",
    "/dev/dri",
    "/dev/kfd",
    "/dev/nvidia0",
    "/dev/nvidia1",
    "/dev/nvidia2",
    "/dev/nvidia3",
    "/dev/nvidia4",
    "/dev/nvidia5",
    "/dev/nvidia6",
    "/dev/nvidia7",
    "/dev/nvidiactl",
    "/dev/nvidia-uvm",
    "/dev/nvidia-uvm-tools",
    "/dev/nvidia-modeset",
    "/dev/shm",
};

static int parse(int argc, char **argv, struct sandbox *s)
{
    int i = 1;
    for (; i < argc && strcmp(argv[i], "--") != 0; i += 2) {
        if (i + 1 >= argc)
            return -1;
        if (strcmp(argv[i], "--parent") == 0)
            s->parent = (pid_t)strtol(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--ro") == 0 && s->ro_count < SANDBOX_PATHS)
            s->ro[s->ro_count++] = argv[i + 1];
        else if (strcmp(argv[i], "--rw") == 0 && s->rw_count < SANDBOX_PATHS)
            s->rw[s->rw_count++] = argv[i + 1];
        else
            return -1;
    }
    return i + 1 < argc ? i + 1 : -1;
}

int engine_exec_main(int argc, char **argv)
{
    struct sandbox s = {0};
    for (size_t i = 0; i < sizeof common_ro / sizeof *common_ro; i++)
        s.ro[s.ro_count++] = common_ro[i];
    for (size_t i = 0; i < sizeof common_rw / sizeof *common_rw; i++)
        s.rw[s.rw_count++] = common_rw[i];
    int at = parse(argc, argv, &s);
    if (at < 0) {
        fprintf(
            stderr,
            "usage: conduit engine-exec [--parent PID] [--ro PATH]… [--rw PATH]… -- PROGRAM …\n");
        return 126;
    }
    (void)setpgid(0, 0); /* Ctrl-C is for the node: it lets answers finish first */
    clean_environment();
    sandbox_enter(&s);
    execv(argv[at], argv + at);
    fprintf(stderr, "sandbox: %s could not be started: %s\n", argv[at], strerror(errno));
    return 127;
}
