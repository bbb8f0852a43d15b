{
  "targets": [
    {
      "target_name": "ripstop",
      "sources": [
        "addon.cc",
        "call.cc",
        "netns.cc",
        "netlink.cc",
        "tun.cc",
        "udp.cc",
        "send.cc",
        "raw.cc",
        "namespace.cc",
        "file.cc",
        "datagram.cc",
        "nft.cc",
        "sum.cc",
        "wait.cc",
        "thread.cc",
        "packet.cc",
        "checksum.cc",
        "segment.cc",
        "coalesce.cc"
      ],
      "defines": ["NAPI_VERSION=8"],
      "cflags_cc!": ["-fno-exceptions"],
      "cflags_cc": [
        "-std=c++17", "-O3", "-fno-exceptions", "-fno-rtti", "-fvisibility=hidden",
        "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Werror"
      ]
    }
  ]
}
