#include "headers.h"

#include "checksum.h"

namespace ripstop {

bool ParseHeaders(const uint8_t* frame, size_t size, size_t l3, HeaderOffsets* offsets) {
  if (size < l3 + 20 || l3 > 22) return false;
  const uint8_t* ip = frame + l3;
  size_t l4;
  size_t end;
  if (ip[0] == 0x45) {
    if (Big16(ip + 6) & 0x3fff) return false;  // more fragments, or not the first
    offsets->version = 4;
    offsets->protocol = ip[9];
    l4 = l3 + 20;
    end = l3 + Big16(ip + 2);
  } else if ((ip[0] & 0xf0) == 0x60) {
    if (size < l3 + 40) return false;
    offsets->version = 6;
    offsets->protocol = ip[6];
    l4 = l3 + 40;
    end = l4 + Big16(ip + 4);
  } else {
    return false;
  }
  if (end > size || end < l4) return false;
  size_t payload;
  if (offsets->protocol == kTcp) {
    if (end < l4 + 20) return false;
    payload = l4 + static_cast<size_t>(frame[l4 + 12] >> 4) * 4;
    if (payload < l4 + 20 || payload > end) return false;
  } else if (offsets->protocol == kUdp) {
    if (end < l4 + 8 || Big16(frame + l4 + 4) != end - l4) return false;
    payload = l4 + 8;
  } else {
    return false;
  }
  offsets->l3 = static_cast<uint16_t>(l3);
  offsets->l4 = static_cast<uint16_t>(l4);
  offsets->payload = static_cast<uint16_t>(payload);
  offsets->end = static_cast<uint32_t>(end);
  return true;
}

uint64_t PseudoSum(const uint8_t* frame, const HeaderOffsets& offsets, uint32_t length) {
  const uint8_t* addresses = frame + offsets.l3 + (offsets.version == 4 ? 12 : 8);
  uint64_t sum = Sum(addresses, offsets.version == 4 ? 8 : 32);
  uint8_t tail[8] = {};
  StoreBig32(tail, length);
  tail[7] = offsets.protocol;
  return sum + Sum(tail, sizeof tail);
}

}  // namespace ripstop
