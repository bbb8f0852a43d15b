// The export table: everything that JavaScript can call, and the layout that both sides agree on.
#include "batch.h"
#include "call.h"

namespace ripstop {

#define RIPSTOP_EXPORTS(X)            \
  X(tunOpen, TunOpen)                 \
  X(tunName, TunName)                 \
  X(tunSetOwner, TunSetOwner)         \
  X(tunSetOffload, TunSetOffload)     \
  X(tunSetPersist, TunSetPersist)     \
  X(tunRead, TunRead)                 \
  X(tunWrite, TunWrite)               \
  X(udpOpen, UdpOpen)                 \
  X(udpProbe, UdpProbe)               \
  X(udpPort, UdpPort)                 \
  X(udpPathMtu, UdpPathMtu)           \
  X(udpReceive, UdpReceive)           \
  X(udpSend, UdpSend)                 \
  X(rawOpen, RawOpen)                 \
  X(rawSend, RawSend)                 \
  X(waitReadable, WaitCall)           \
  X(eventOpen, EventOpen)             \
  X(eventSignal, EventSignal)         \
  X(eventClear, EventClear)           \
  X(threadPolicy, ThreadPolicy)       \
  X(netlinkOpen, NetlinkOpen)         \
  X(netlinkSend, NetlinkSend)         \
  X(netlinkReceive, NetlinkReceive)   \
  X(fileOpen, FileOpen)               \
  X(fileLock, FileLock)               \
  X(nftRun, NftRun)                   \
  X(packetOpen, PacketOpen)           \
  X(packetSend, PacketSend)           \
  X(packetReceive, PacketReceive)     \
  X(namespaceCreate, NamespaceCreate) \
  X(namespaceUnpin, NamespaceUnpin)   \
  X(namespaceShareDirectory, NamespaceShareDirectory) \
  X(closeFd, CloseFd)                 \
  X(checksum, ChecksumOf)

#define RIPSTOP_LAYOUT(X)                                                                                    \
  X(OFFSET, kOffset) X(LENGTH, kLength) X(OFFLOAD, kOffload) X(GSO_SIZE, kGsoSize) X(CSUM_START, kCsumStart) \
  X(CSUM_OFFSET, kCsumOffset) X(VERDICT, kVerdict) X(PEER, kPeer) X(SOCKET, kSocket) X(SEGMENTS, kSegments)  \
  X(ERROR, kError) X(L3, kL3) X(FLOW, kFlow) X(STRIDE, kStride) X(HEADROOM, kHeadroom)                       \
  X(FRAME_MAX, kFrameMax) X(PEER_FAMILY, kPeerFamily) X(PEER_PORT, kPeerPort) X(PEER_ADDRESS, kPeerAddress)  \
  X(PEER_HEADER_BYTES, kPeerHeaderBytes) X(PEER_HEADER, kPeerHeader) X(PEER_SCOPE, kPeerScope) X(PEER_REMOTE_CHECKSUM, kPeerRemoteChecksum)               \
  X(PEER_STRIDE, kPeerStride) X(SOURCE_STRIDE, kSourceStride) X(SOURCE_TRUNCATED, kSourceTruncated)          \
  X(SOURCE_BYTES, kSourceBytes) X(SOURCE_PORT, kSourcePort) X(FORWARD, kForward) X(TOO_BIG, kTooBig)         \
  X(EGRESS_MALFORMED, kEgressMalformed) X(SEND_FAILED, kSendFailed) X(BAD_CHECKSUM, kBadChecksum)            \
  X(WRITE_FAILED, kWriteFailed) X(STAT_COUNT, kStatCount)

#define DECLARE(name, function) napi_value function(napi_env, napi_callback_info);
RIPSTOP_EXPORTS(DECLARE)
#undef DECLARE

static napi_value Init(napi_env env, napi_value exports) {
#define EXPORT(name, function)                                                            \
  {                                                                                       \
    napi_value value;                                                                     \
    napi_create_function(env, #name, NAPI_AUTO_LENGTH, function, nullptr, &value);        \
    napi_set_named_property(env, exports, #name, value);                                  \
  }
  RIPSTOP_EXPORTS(EXPORT)
#undef EXPORT
  napi_value layout;
  napi_create_object(env, &layout);
#define FIELD(name, number)                                \
  {                                                        \
    napi_value value;                                      \
    napi_create_int32(env, number, &value);                \
    napi_set_named_property(env, layout, #name, value);    \
  }
  RIPSTOP_LAYOUT(FIELD)
#undef FIELD
  napi_set_named_property(env, exports, "layout", layout);
  return exports;
}

}  // namespace ripstop

NAPI_MODULE_INIT() { return ripstop::Init(env, exports); }
