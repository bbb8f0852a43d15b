{
  "variables": { "warnings_are_errors%": 1 },
  "targets": [
    {
      "target_name": "ripstop",
      "sources": [
        "addon.cc",
        "bpf.cc",
        "call.cc",
        "environment.cc",
        "errno-name.cc",
        "fd.cc",
        "namespace-scope.cc",
        "netlink.cc",
        "nft.cc",
        "packet-capture.cc",
        "packet-send.cc",
        "packet-socket.cc",
        "process.cc",
        "raw.cc",
        "tun.cc",
        "tun-write.cc",
        "udp.cc",
        "udp-send.cc",
        "wait.cc",
        "offload/checksum.cc",
        "offload/coalesce.cc",
        "offload/headers.cc",
        "offload/segment.cc"
      ],
      "defines": ["NAPI_VERSION=8"],
      "cflags_cc": [
        "-std=c++17", "-O3", "-fno-exceptions", "-fno-rtti", "-fvisibility=hidden",
        "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion",
        "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2", "-fstack-protector-strong"
      ],
      "ldflags": ["-Wl,-z,relro,-z,now,-z,noexecstack"],
      "conditions": [
        ["warnings_are_errors==1", { "cflags_cc": ["-Werror"] }],
        ["target_arch=='x64'", { "cflags_cc": ["-fcf-protection=full"] }],
        ["target_arch=='arm64'", { "cflags_cc": ["-mbranch-protection=standard"] }]
      ],
      "configurations": {
        "Sanitize": {
          "cflags_cc!": ["-O3", "-D_FORTIFY_SOURCE=2"],
          "cflags_cc": [
            "-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"
          ],
          "ldflags": ["-fsanitize=address,undefined"]
        }
      }
    }
  ]
}
