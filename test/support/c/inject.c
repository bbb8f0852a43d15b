/*
 * inject DEVICE ETHERTYPE: takes lines of hexadecimal from standard input, each a virtio-net header of 10 bytes and a
 * frame, and sends every frame out of DEVICE as if the kernel had: GSO packets and partial checksums included
 * (packet(7), PACKET_VNET_HDR). ETHERTYPE is what the packet socket names when the device has no link header.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef PACKET_VNET_HDR
#define PACKET_VNET_HDR 15
#endif

enum { LARGEST = 10 + 65535 + 22 };
static char line[2 * LARGEST + 2];
static uint8_t bytes[LARGEST];

static void die(const char *what) {
  fprintf(stderr, "inject: %s: %s\n", what, strerror(errno));
  exit(1);
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fputs("usage: inject DEVICE ETHERTYPE < lines of hexadecimal\n", stderr);
    return 2;
  }
  uint16_t type = htons((uint16_t)strtoul(argv[2], NULL, 0));
  int fd = socket(AF_PACKET, SOCK_RAW, 0), on = 1;
  if (fd < 0) die("socket(AF_PACKET)");
  if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on) < 0) die("PACKET_VNET_HDR");
  struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = type, .sll_ifindex = (int)if_nametoindex(argv[1])};
  if (to.sll_ifindex == 0) die(argv[1]);
  while (fgets(line, sizeof line, stdin) != NULL) {
    size_t length = strcspn(line, "\n") / 2;
    for (size_t i = 0; i < length; i++) {
      unsigned value;
      if (sscanf(line + 2 * i, "%2x", &value) != 1) die("hexadecimal");
      bytes[i] = (uint8_t)value;
    }
    if (sendto(fd, bytes, length, 0, (struct sockaddr *)&to, sizeof to) != (ssize_t)length) die("sendto");
  }
  return 0;
}
