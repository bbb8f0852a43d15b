/*
 * udp-proxy DEVICE LOCAL PORT (SUBNET/LENGTH NODE)...
 *
 * A node of flannel's udp backend with nothing clever in it: a TUN, a UDP socket, one packet a turn, IPv4 only. Like
 * flannel's own proxy it lowers the TTL at both ends of the tunnel, drops packets whose TTL is used up, sends from PORT and
 * does not check the source of a datagram. Written for the tests from the format alone, so that both sides of the wire
 * are not the same code.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

struct route {
  uint32_t net, mask;
  struct sockaddr_in node;
};

static struct route routes[64];
static int route_count;
static uint8_t packet[65536];

static void die(const char *what) {
  fprintf(stderr, "udp-proxy: %s: %s\n", what, strerror(errno));
  exit(1);
}

static int open_tun(const char *name) {
  struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
  int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
  if (fd < 0) die("/dev/net/tun");
  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  if (ioctl(fd, TUNSETIFF, &request) < 0) die("TUNSETIFF");
  return fd;
}

static struct sockaddr_in address(const char *text, int port) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  if (inet_pton(AF_INET, text, &at.sin_addr) != 1) {
    fprintf(stderr, "udp-proxy: %s is not an IPv4 address\n", text);
    exit(2);
  }
  return at;
}

static const struct sockaddr_in *find(uint32_t destination) {
  for (int i = 0; i < route_count; i++)
    if ((destination & routes[i].mask) == routes[i].net) return &routes[i].node;
  return NULL;
}

/* Decrements the TTL and updates the header checksum (RFC 1624); 0 if the TTL is used up or the packet is not IPv4. */
static int age(ssize_t size) {
  if (size < 20 || packet[0] >> 4 != 4 || packet[8] <= 1) return 0;
  uint32_t sum = ((uint32_t)packet[10] << 8 | packet[11]) + 0x100;
  sum = (sum & 0xffff) + (sum >> 16);
  packet[8]--;
  packet[10] = (uint8_t)(sum >> 8);
  packet[11] = (uint8_t)sum;
  return 1;
}

int main(int argc, char **argv) {
  if (argc < 4 || argc % 2 != 0) {
    fputs("usage: udp-proxy DEVICE LOCAL PORT (SUBNET/LENGTH NODE)...\n", stderr);
    return 2;
  }
  int port = atoi(argv[3]);
  for (int i = 4; i + 1 < argc && route_count < 64; i += 2) {
    char *slash = strchr(argv[i], '/');
    if (slash == NULL) return 2;
    *slash = 0;
    uint32_t mask = htonl((uint32_t)(0xffffffffull << (32 - atoi(slash + 1))));
    uint32_t net = address(argv[i], 0).sin_addr.s_addr & mask;
    routes[route_count++] = (struct route){net, mask, address(argv[i + 1], port)};
  }
  int tun = open_tun(argv[1]);
  int udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), room = 4 << 20;
  struct sockaddr_in local = address(argv[2], port);
  if (udp < 0 || bind(udp, (struct sockaddr *)&local, sizeof local) < 0) die("bind");
  setsockopt(udp, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
  puts("ready");
  fflush(stdout);
  struct pollfd both[2] = {{.fd = tun, .events = POLLIN}, {.fd = udp, .events = POLLIN}};
  for (;;) {
    if (poll(both, 2, -1) < 0 && errno != EINTR) die("poll");
    ssize_t size = read(tun, packet, sizeof packet);
    if (size > 0 && age(size)) {
      uint32_t destination;
      memcpy(&destination, packet + 16, 4);
      const struct sockaddr_in *node = find(destination);
      if (node) sendto(udp, packet, (size_t)size, 0, (const struct sockaddr *)node, sizeof *node);
    }
    size = recv(udp, packet, sizeof packet, 0);
    if (size > 0 && age(size)) {
      while (write(tun, packet, (size_t)size) < 0 && errno == EAGAIN) continue;
    }
  }
}
