// Frames that pass an interface, in both directions: AF_PACKET sockets of `ripstop capture --pod`.
#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <sys/socket.h>

#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstring>
#include <ctime>

#include "call.h"
#include "constants.h"
#include "namespace-scope.h"
#include "unique-fd.h"

namespace ripstop {
namespace {

constexpr size_t kBatch = 64;
constexpr size_t kMacs = 2 * ETH_ALEN;
constexpr size_t kTag = 4;
// A packet socket has no num_buffers.
constexpr size_t kOffloadBytes = offsetof(VnetHeader, num_buffers);

bool SetOption(int fd, int level, int option, int value) {
  return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

// Lets the kernel keep no more than `snap` bytes of a frame; with 0 it keeps no frame.
bool SetSnapLength(int fd, uint32_t snap) {
  sock_filter code[] = {BPF_STMT(BPF_RET | BPF_K, snap)};
  const sock_fprog program = {1, code};
  return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0;
}

// What one recvmmsg fills.
struct Batch {
  mmsghdr messages[kBatch];
  iovec pieces[kBatch][2];
  sockaddr_ll names[kBatch];
  VnetHeader offloads[kBatch];
  alignas(cmsghdr) uint8_t controls[kBatch][CMSG_SPACE(sizeof(tpacket_auxdata)) + CMSG_SPACE(sizeof(timespec))];
};

// The macro of musl compares a signed with an unsigned number.
cmsghdr* NextControl(msghdr* header, cmsghdr* item) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-compare"
  return CMSG_NXTHDR(header, item);
#pragma GCC diagnostic pop
}

// Writes the fields of message `at`, whose frame begins kTag bytes into `slot`.
void Describe(Batch* batch, size_t at, uint8_t* slot, int32_t offset, int32_t* words) {
  msghdr* header = &batch->messages[at].msg_hdr;
  tpacket_auxdata aux{};
  timespec time{};
  for (cmsghdr* item = CMSG_FIRSTHDR(header); item != nullptr; item = NextControl(header, item)) {
    if (item->cmsg_level == SOL_PACKET && item->cmsg_type == PACKET_AUXDATA) memcpy(&aux, CMSG_DATA(item), sizeof aux);
    if (item->cmsg_level == SOL_SOCKET && item->cmsg_type == SCM_TIMESTAMPNS) memcpy(&time, CMSG_DATA(item), sizeof time);
  }
  const VnetHeader& offload = batch->offloads[at];
  const size_t received = batch->messages[at].msg_len;
  size_t captured = received > kOffloadBytes ? received - kOffloadBytes : 0;
  size_t front = kTag;
  // The kernel keeps the tag of a frame apart from it.
  if ((aux.tp_status & TP_STATUS_VLAN_VALID) && captured >= kMacs) {
    const uint16_t type = htons(aux.tp_status & TP_STATUS_VLAN_TPID_VALID ? aux.tp_vlan_tpid : ETH_P_8021Q);
    const uint16_t tag = htons(aux.tp_vlan_tci);
    memmove(slot, slot + kTag, kMacs);
    memcpy(slot + kMacs, &type, sizeof type);
    memcpy(slot + kMacs + sizeof type, &tag, sizeof tag);
    front = 0;
  }
  const int32_t tagged = static_cast<int32_t>(kTag - front);
  const bool is_partial = offload.flags & kNeedsCsum;
  words[kCapturedOffset] = offset + static_cast<int32_t>(front);
  words[kCapturedBytes] = static_cast<int32_t>(captured) + tagged;
  words[kCapturedLength] = static_cast<int32_t>(aux.tp_len) + tagged;
  words[kCapturedOutgoing] = batch->names[at].sll_pkttype == PACKET_OUTGOING;
  words[kCapturedSeconds] = static_cast<int32_t>(time.tv_sec);
  words[kCapturedNanoseconds] = static_cast<int32_t>(time.tv_nsec);
  words[kCapturedOffload] = offload.flags | offload.gso_type << 8;
  words[kCapturedGsoSize] = offload.gso_size;
  words[kCapturedCsumStart] = is_partial ? offload.csum_start + tagged : 0;
  words[kCapturedCsumOffset] = offload.csum_offset;
}

}  // namespace

// captureOpen(netns, link, snap, bufferBytes) -> fd, non-blocking: every frame that passes the interface with index `link` of
// `netns`. The kernel keeps `snap` bytes of each (0: all) and as many frames as fit in `bufferBytes`.
// Syscalls: setns, socket, setsockopt, bind. Capability: CAP_NET_RAW.
napi_value CaptureOpen(napi_env env, napi_callback_info info) {
  Call call(env, info);
  char path[PATH_MAX];
  call.Text(0, path);
  const int link = call.Int(1, 1, INT32_MAX);
  const uint32_t snap = call.Uint(2, INT32_MAX);
  const int buffer = call.Int(3, 1, INT32_MAX / 2);  // the kernel doubles it
  if (!call.ok()) return nullptr;
  NamespaceScope scope(path);
  if (scope.error()) return call.Throw(scope.error(), scope.syscall());
  // Without a protocol it receives nothing until it is bound: no frame of another interface comes before.
  UniqueFd fd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return call.Throw(errno, "socket(AF_PACKET)");
  if (!SetOption(fd.get(), SOL_PACKET, PACKET_AUXDATA, 1)) return call.Throw(errno, "setsockopt(PACKET_AUXDATA)");
  if (!SetOption(fd.get(), SOL_PACKET, PACKET_VNET_HDR, 1)) return call.Throw(errno, "setsockopt(PACKET_VNET_HDR)");
  if (!SetOption(fd.get(), SOL_SOCKET, SO_TIMESTAMPNS, 1)) return call.Throw(errno, "setsockopt(SO_TIMESTAMPNS)");
  if (snap > 0 && !SetSnapLength(fd.get(), snap)) return call.Throw(errno, "setsockopt(SO_ATTACH_FILTER)");
  // Best effort: without the privilege it ends at the system's limit.
  if (!SetOption(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, buffer)) SetOption(fd.get(), SOL_SOCKET, SO_RCVBUF, buffer);
  sockaddr_ll name{};
  name.sll_family = AF_PACKET;
  name.sll_protocol = htons(ETH_P_ALL);
  name.sll_ifindex = link;
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) < 0)
    return call.Throw(errno, "bind(AF_PACKET)");
  return call.Number(fd.Release());
}

// captureFilter(fd, program) -> 0 or -errno; frames that the classic BPF program (instructions of 8 bytes) rejects do not come.
// Syscall: setsockopt(SO_ATTACH_FILTER).
napi_value CaptureFilter(napi_env env, napi_callback_info info) {
  Call call(env, info);
  size_t size;
  const int fd = call.Fd(0);
  const uint8_t* bytes = call.Bytes(1, &size);
  call.Require(size > 0 && size % sizeof(sock_filter) == 0 && size <= BPF_MAXINSNS * sizeof(sock_filter), 1,
               "must hold whole instructions, 4096 at most");
  if (!call.ok()) return nullptr;
  sock_filter code[BPF_MAXINSNS];
  memcpy(code, bytes, size);
  const sock_fprog program = {static_cast<unsigned short>(size / sizeof(sock_filter)), code};
  return call.NumberOrErrno(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program));
}

// captureStop(fd) -> 0 or -errno; no further frame comes, and those that are there can be read. Syscall: setsockopt.
napi_value CaptureStop(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Fd(0);
  if (!call.ok()) return nullptr;
  return call.NumberOrErrno(SetSnapLength(fd, 0) ? 0 : -1);
}

// captureRead(fd, slab, slot, table) -> frames or -errno: -EAGAIN when none is there, -ENETDOWN when the interface went away.
// Each frame has `slot` bytes of the slab, and kCapturedStride words of the table. Syscall: recvmmsg.
napi_value CaptureRead(napi_env env, napi_callback_info info) {
  Call call(env, info);
  size_t bytes;
  size_t words;
  const int fd = call.Fd(0);
  uint8_t* slab = call.Bytes(1, &bytes);
  const uint32_t slot = call.Uint(2, INT32_MAX);
  int32_t* table = call.Ints(3, &words);
  call.Require(slot >= kTag + ETH_HLEN && slot <= bytes, 2, "must hold a header and fit in the slab");
  call.Require(words >= kCapturedStride, 3, "must hold a frame");
  if (!call.ok()) return nullptr;
  size_t count = kBatch;
  if (bytes / slot < count) count = bytes / slot;
  if (words / kCapturedStride < count) count = words / kCapturedStride;
  Batch batch;
  for (size_t at = 0; at < count; at++) {
    batch.pieces[at][0] = {&batch.offloads[at], kOffloadBytes};
    batch.pieces[at][1] = {slab + at * slot + kTag, slot - kTag};
    batch.messages[at] = {};
    msghdr& header = batch.messages[at].msg_hdr;
    header.msg_name = &batch.names[at];
    header.msg_namelen = sizeof batch.names[at];
    header.msg_iov = batch.pieces[at];
    header.msg_iovlen = 2;
    header.msg_control = batch.controls[at];
    header.msg_controllen = sizeof batch.controls[at];
  }
  const int received = recvmmsg(fd, batch.messages, static_cast<unsigned>(count), MSG_DONTWAIT, nullptr);
  const size_t frames = received < 0 ? 0 : static_cast<size_t>(received);
  for (size_t at = 0; at < frames; at++)
    Describe(&batch, at, slab + at * slot, static_cast<int32_t>(at * slot), table + at * kCapturedStride);
  return call.NumberOrErrno(received);
}

// captureStatistics(fd, counts) -> 0 or -errno; `counts` receives the frames that passed since the last call, and those of
// them that did not fit in the buffer. Syscall: getsockopt(PACKET_STATISTICS).
napi_value CaptureStatistics(napi_env env, napi_callback_info info) {
  Call call(env, info);
  size_t words;
  const int fd = call.Fd(0);
  int32_t* counts = call.Ints(1, &words);
  call.Require(words == 2, 1, "must have two elements");
  if (!call.ok()) return nullptr;
  tpacket_stats statistics{};
  socklen_t size = sizeof statistics;
  const int result = getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &statistics, &size);
  counts[0] = static_cast<int32_t>(statistics.tp_packets);
  counts[1] = static_cast<int32_t>(statistics.tp_drops);
  return call.NumberOrErrno(result);
}

}  // namespace ripstop
