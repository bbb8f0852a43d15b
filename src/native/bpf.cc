// BPF programs that count packets or choose their queue (linux/bpf.h, bpf(2)). Cold: loaded for an audit, and where a device
// has several queues. The programs are assembled in src/net/bpf; here are only the system calls.
#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "call.h"

namespace ripstop {
namespace {

// Largest value of a map, and longest program (BPF_MAXINSNS without CAP_BPF).
constexpr uint32_t kValueMax = 4096;
constexpr size_t kInstructionsMax = 4096;

uint64_t Pointer(const void* at) { return reinterpret_cast<uintptr_t>(at); }

int Bpf(bpf_cmd command, bpf_attr* attributes) {
  return static_cast<int>(syscall(SYS_bpf, command, attributes, sizeof *attributes));
}

}  // namespace

// bpfMap(valueBytes) -> fd of an array with one value, all zero. Syscall: bpf(BPF_MAP_CREATE).
napi_value BpfMap(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const uint32_t value = call.Uint(0, kValueMax);
  if (!call.ok()) return nullptr;
  bpf_attr attributes{};
  attributes.map_type = BPF_MAP_TYPE_ARRAY;
  attributes.key_size = sizeof(uint32_t);
  attributes.value_size = value;
  attributes.max_entries = 1;
  return call.NumberOrThrow(Bpf(BPF_MAP_CREATE, &attributes), "bpf(BPF_MAP_CREATE)");
}

// bpfMapRead(fd, value) -> 0 or -errno; `value` receives the value and has its size. Syscall: bpf(BPF_MAP_LOOKUP_ELEM).
napi_value BpfMapRead(napi_env env, napi_callback_info info) {
  Call call(env, info);
  size_t size;
  const int fd = call.Fd(0);
  uint8_t* value = call.Bytes(1, &size);
  // The kernel writes as many bytes as the map has.
  call.Require(size == kValueMax, 1, "a Uint8Array of 4096 bytes");
  if (!call.ok()) return nullptr;
  const uint32_t key = 0;
  bpf_attr attributes{};
  attributes.map_fd = static_cast<uint32_t>(fd);
  attributes.key = Pointer(&key);
  attributes.value = Pointer(value);
  return call.NumberOrErrno(Bpf(BPF_MAP_LOOKUP_ELEM, &attributes));
}

// bpfProgram(instructions, type) -> fd of a program; `instructions` are struct bpf_insn, 8 bytes each. `type`:
// BPF_PROG_TYPE_SOCKET_FILTER (1) to choose a queue, BPF_PROG_TYPE_SCHED_CLS (3) for a classifier. Syscall:
// bpf(BPF_PROG_LOAD). Capabilities: CAP_BPF, for a classifier CAP_NET_ADMIN as well, or CAP_SYS_ADMIN. A socket filter needs
// none where kernel.unprivileged_bpf_disabled is 0.
napi_value BpfProgram(napi_env env, napi_callback_info info) {
  Call call(env, info);
  size_t size;
  const uint8_t* instructions = call.Bytes(0, &size);
  call.Require(size > 0 && size % sizeof(bpf_insn) == 0 && size / sizeof(bpf_insn) <= kInstructionsMax, 0,
               "1 to 4096 instructions of 8 bytes");
  const int type = call.Int(1, BPF_PROG_TYPE_SOCKET_FILTER, BPF_PROG_TYPE_SCHED_CLS);
  call.Require(type != BPF_PROG_TYPE_KPROBE, 1, "1 or 3");
  if (!call.ok()) return nullptr;
  static const char kLicense[] = "Apache-2.0";
  bpf_attr attributes{};
  attributes.prog_type = static_cast<uint32_t>(type);
  attributes.insns = Pointer(instructions);
  attributes.insn_cnt = static_cast<uint32_t>(size / sizeof(bpf_insn));
  attributes.license = Pointer(kLicense);
  memcpy(attributes.prog_name, "ripstop", sizeof "ripstop");
  return call.NumberOrThrow(Bpf(BPF_PROG_LOAD, &attributes), "bpf(BPF_PROG_LOAD)");
}

}  // namespace ripstop
