"""A node that speaks flannel's udp backend: a TUN without virtio header, each packet as it is in one datagram.

usage: flannel-udp.py DEVICE LOCAL PORT SUBNET=PEER...    (inside the node's namespace; ends with its parent)
"""
import fcntl, ipaddress, os, select, socket, struct, sys

device, local, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
routes = [(ipaddress.ip_network(subnet), peer) for subnet, peer in (word.split("=") for word in sys.argv[4:])]
tun = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tun, 0x400454CA, struct.pack("16sH", device.encode(), 0x1001))  # TUNSETIFF, IFF_TUN | IFF_NO_PI
wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
wire.bind((local, port))
print("open", flush=True)
while True:
    for ready in select.select([tun, wire], [], [])[0]:
        if ready is wire:
            os.write(tun, wire.recv(65535))
            continue
        packet = os.read(tun, 65535)
        if packet[0] >> 4 != 4:
            continue
        target = ipaddress.ip_address(packet[16:20])
        for subnet, peer in routes:
            if target in subnet:
                wire.sendto(packet, (peer, port))
