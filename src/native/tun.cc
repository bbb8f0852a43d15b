// TUN and TAP queues with the virtio-net header (linux/if_tun.h): opening and reading. The device hands over one frame
// per read; a GSO packet is how several packets share it. Writing is tun-write.cc.
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>

#include "call.h"
#include "constants.h"
#include "environment.h"
#include "namespace-scope.h"
#include "unique-fd.h"

namespace ripstop {

namespace {

// Type of the second parameter of ioctl(2): numbers with the highest bit set are negative for musl.
#ifdef __GLIBC__
using IoctlRequest = unsigned long;
#else
using IoctlRequest = int;
#endif

// The kernel lets any user attach a queue to a device without owner and group. With them, a process needs that
// identity or CAP_NET_ADMIN (tun_not_capable, drivers/net/tun.c). No process has this one: (uid_t)-2, as -1 means
// none. Only the capability is left then, so that uid 0 of a container without it is refused as well.
constexpr unsigned long kNoIdentity = 0xFFFFFFFE;

// Syscalls: ioctl(TUNSETOWNER, TUNSETGROUP). EINVAL means a user namespace that does not map the identity (make_kuid);
// the device belongs to this process's own identity then.
bool SetOwner(int fd, const char** failed) {
  *failed = "ioctl(TUNSETOWNER)";
  if (ioctl(fd, TUNSETOWNER, kNoIdentity) < 0 &&
      (errno != EINVAL || ioctl(fd, TUNSETOWNER, static_cast<unsigned long>(geteuid())) < 0))
    return false;
  *failed = "ioctl(TUNSETGROUP)";
  if (ioctl(fd, TUNSETGROUP, kNoIdentity) < 0 &&
      (errno != EINVAL || ioctl(fd, TUNSETGROUP, static_cast<unsigned long>(getegid())) < 0))
    return false;
  *failed = nullptr;
  return true;
}

}  // namespace

// tunOpen(netns, name, flags) -> fd
// One queue of the device `name` inside `netns`. From then on only CAP_NET_ADMIN can attach to the device.
// Syscalls: setns, open, ioctl(TUNSETIFF, TUNSETOWNER, TUNSETGROUP, TUNSETVNETHDRSZ).
// Capability: CAP_NET_ADMIN in the namespace's owner.
napi_value TunOpen(napi_env env, napi_callback_info info) {
  Call call(env, info);
  char path[PATH_MAX];
  ifreq request{};
  call.Text(0, path);
  call.Text(1, request.ifr_name);
  request.ifr_flags = static_cast<short>(call.Uint(2, UINT16_MAX));
  if (!call.ok()) return nullptr;
  NamespaceScope scope(path);
  if (scope.error()) return call.Throw(scope.error(), scope.syscall());
  UniqueFd fd(open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!fd) return call.Throw(errno, "open(/dev/net/tun)");
  if (ioctl(fd.get(), TUNSETIFF, &request) < 0) return call.Throw(errno, "ioctl(TUNSETIFF)");
  const char* failed = nullptr;
  if (!SetOwner(fd.get(), &failed)) return call.Throw(errno, failed);
  const int header = sizeof(VnetHeader);
  if (ioctl(fd.get(), TUNSETVNETHDRSZ, &header) < 0) return call.Throw(errno, "ioctl(TUNSETVNETHDRSZ)");
  return call.Number(fd.Release());
}

// tunFeatures() -> IFF_* that TUNSETIFF of this kernel accepts, or -errno. Syscalls: open, ioctl(TUNGETFEATURES), close.
napi_value TunFeatures(napi_env env, napi_callback_info info) {
  Call call(env, info);
  if (!call.ok()) return nullptr;
  const UniqueFd fd(open("/dev/net/tun", O_RDWR | O_CLOEXEC));
  if (!fd) return call.Number(-errno);
  unsigned int features = 0;
  if (ioctl(fd.get(), static_cast<IoctlRequest>(TUNGETFEATURES), &features) < 0) return call.Number(-errno);
  return call.Number(features);
}

// tunFlags(fd) -> IFF_* that the device behind `fd` has, or -errno. Syscall: ioctl(TUNGETIFF).
napi_value TunFlags(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Fd(0);
  if (!call.ok()) return nullptr;
  ifreq request{};
  if (ioctl(fd, static_cast<IoctlRequest>(TUNGETIFF), &request) < 0) return call.Number(-errno);
  return call.Number(static_cast<uint16_t>(request.ifr_flags));
}

// tunName(fd) -> name. Syscall: ioctl(TUNGETIFF).
napi_value TunName(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Fd(0);
  if (!call.ok()) return nullptr;
  ifreq request{};
  if (ioctl(fd, static_cast<IoctlRequest>(TUNGETIFF), &request) < 0) return call.Throw(errno, "ioctl(TUNGETIFF)");
  napi_value name = nullptr;
  napi_create_string_utf8(env, request.ifr_name, NAPI_AUTO_LENGTH, &name);
  return name;
}

// tunSetOwner(fd) -> 0 or -errno. For a device that another library opened; tunOpen does it itself.
// Syscalls: ioctl(TUNSETOWNER, TUNSETGROUP).
napi_value TunSetOwner(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Fd(0);
  if (!call.ok()) return nullptr;
  const char* failed = nullptr;
  return call.Number(SetOwner(fd, &failed) ? 0 : -errno);
}

// tapCreate(netns, name, isMultiQueue, owner, group)
// A persistent TAP for another program; no queue of it stays open. -1: no owner (group), so that any user can attach to it.
// Syscalls: setns, open, ioctl(TUNSETIFF, TUNSETOWNER, TUNSETGROUP, TUNSETPERSIST), close.
// Capability: CAP_NET_ADMIN in the namespace's owner.
napi_value TapCreate(napi_env env, napi_callback_info info) {
  Call call(env, info);
  char path[PATH_MAX];
  ifreq request{};
  call.Text(0, path);
  call.Text(1, request.ifr_name);
  const bool is_multi_queue = call.Uint(2, 1) == 1;
  const int64_t owner = call.OptionalId(3);
  const int64_t group = call.OptionalId(4);
  if (!call.ok()) return nullptr;
  request.ifr_flags = static_cast<short>(IFF_TAP | IFF_NO_PI | IFF_TUN_EXCL | (is_multi_queue ? IFF_MULTI_QUEUE : 0));
  NamespaceScope scope(path);
  if (scope.error()) return call.Throw(scope.error(), scope.syscall());
  UniqueFd fd(open("/dev/net/tun", O_RDWR | O_CLOEXEC));
  if (!fd) return call.Throw(errno, "open(/dev/net/tun)");
  if (ioctl(fd.get(), TUNSETIFF, &request) < 0) return call.Throw(errno, "ioctl(TUNSETIFF)");
  if (owner >= 0 && ioctl(fd.get(), TUNSETOWNER, static_cast<unsigned long>(owner)) < 0)
    return call.Throw(errno, "ioctl(TUNSETOWNER)");
  if (group >= 0 && ioctl(fd.get(), TUNSETGROUP, static_cast<unsigned long>(group)) < 0)
    return call.Throw(errno, "ioctl(TUNSETGROUP)");
  if (ioctl(fd.get(), TUNSETPERSIST, 1UL) < 0) return call.Throw(errno, "ioctl(TUNSETPERSIST)");
  return call.Undefined();
}

// tunSetOffload(fd, mask) -> 0 or -errno. Syscall: ioctl(TUNSETOFFLOAD).
napi_value TunSetOffload(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Fd(0);
  const unsigned long mask = call.Uint(1);
  if (!call.ok()) return nullptr;
  return call.NumberOrErrno(ioctl(fd, TUNSETOFFLOAD, mask));
}

// tunSetPersist(fd, on) -> 0 or -errno. Syscall: ioctl(TUNSETPERSIST).
napi_value TunSetPersist(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Fd(0);
  const unsigned long on = call.Uint(1, 1);
  if (!call.ok()) return nullptr;
  return call.NumberOrErrno(ioctl(fd, TUNSETPERSIST, on));
}

// tunSetSteering(fd, program) -> 0 or -errno. The result of the program, modulo the number of queues, is the queue of a
// frame; it sees the frame as a queue of the device would deliver it. -1: the kernel chooses, and moves a flow to the queue
// that the answers to it are written to. Syscall: ioctl(TUNSETSTEERINGEBPF), Linux 4.16.
napi_value TunSetSteering(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Fd(0);
  const int program = call.OptionalFd(1);
  if (!call.ok()) return nullptr;
  return call.NumberOrErrno(ioctl(fd, static_cast<IoctlRequest>(TUNSETSTEERINGEBPF), &program));
}

// tunRead(fd, slab, table, max, busyPollUs) -> frames or -errno
// Reads frames until the queue is empty, `max` are read or the slab is full, packed one behind the other with headroom
// before each. Does not sleep; with `busyPollUs` it polls while the queue is empty (Polling). Syscalls: read, sched_yield.
napi_value TunRead(napi_env env, napi_callback_info info) {
  Call call(env, info);
  size_t slab_size, table_size;
  const int fd = call.Fd(0);
  uint8_t* slab = call.Bytes(1, &slab_size);
  int32_t* table = call.Ints(2, &table_size);
  const size_t limit = call.Uint(3);
  const int64_t busy_poll_ns = call.Int(4, 0, kBusyPollMaxUs) * 1000LL;
  constexpr size_t header = sizeof(VnetHeader);
  call.Require(limit <= table_size / kStride, 3, "at most the descriptors of argument 3");
  if (!call.ok()) return nullptr;

  Polling& polling = Environment::Of(env).polling;
  bool is_first = true;
  size_t count = 0;
  size_t cursor = 0;
  while (count < limit && cursor + kHeadroom + kFrameMax <= slab_size) {
    uint8_t* frame = slab + cursor + kHeadroom;
    const ssize_t got = read(fd, frame - header, kFrameMax + header);
    if (got == 0) return call.Number(-EBADFD);  // the end of a file: not a device, which never has one
    if (got < 0) {
      if (errno == EINTR) continue;
      if (count > 0) break;
      if (errno != EAGAIN) return call.Number(-errno);
      if (!polling.Again(is_first, busy_poll_ns)) break;
      is_first = false;
      continue;
    }
    if (static_cast<size_t>(got) <= header) continue;
    VnetHeader vnet;
    memcpy(&vnet, frame - header, header);
    int32_t* descriptor = table + count * kStride;
    descriptor[kOffset] = static_cast<int32_t>(frame - slab);
    descriptor[kLength] = static_cast<int32_t>(static_cast<size_t>(got) - header);
    descriptor[kOffload] = vnet.flags | (vnet.gso_type << 8);
    descriptor[kGsoSize] = vnet.gso_size;
    descriptor[kCsumStart] = vnet.csum_start;
    descriptor[kCsumOffset] = vnet.csum_offset;
    descriptor[kVerdict] = kPending;
    descriptor[kError] = 0;
    descriptor[kSegments] = 0;
    count++;
    cursor = (cursor + kHeadroom + static_cast<size_t>(got) + 63) & ~static_cast<size_t>(63);
  }
  return call.Number(static_cast<double>(count));
}

}  // namespace ripstop
