import { readFileSync } from 'node:fs';
import t from 'tap';
import { MAIN } from '../../fixtures/agents/run-node.ts';
import { guestMissing, runInGuest } from '../../fixtures/qemu/qemu.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/*
 * The profile that containerd gives its containers, in a guest whose kernel has AppArmor: it denies writes below
 * /proc/sys by path, even where the mount is writable. The profile is the one in containerd's own binary.
 */

/** Boot included; a busy machine takes many times what an idle one does. */
const GUEST_MS = 1_500_000;

const skip =
  skipUnless('root', 'apparmor_parser', 'aa-exec', 'setpriv', '/usr/bin/containerd') ||
  (await guestMissing());

/** The template of contrib/apparmor, filled in as containerd does for a daemon without a profile of its own. */
function profile(name: string): string {
  const binary = readFileSync('/usr/bin/containerd', 'latin1');
  const start = binary.indexOf('profile {{.Name}} flags=');
  const template = binary.slice(start, binary.indexOf('\n}\n', start) + 3);
  const body = template
    .replace(/\{\{range [^}]*InnerImports\}\}[\s\S]*?\{\{end\}\}/, '  #include <abstractions/base>')
    .replace(/\{\{if [^}]*\}\}|\{\{end\}\}/g, '')
    .replaceAll('{{.Name}}', name)
    .replaceAll('{{.DaemonProfile}}', 'unconfined');
  return `#include <tunables/global>\n${body}`;
}

const CONFIGURATION = {
  underlay: '172.31.0.1',
  subnets: ['10.244.1.0/24', 'fd00:10:244:1::/64'],
  peers: [{ name: 'two', address: '172.31.0.2', subnets: ['10.244.2.0/24', 'fd00:10:244:2::/64'] }],
};

t.test(
  "containerd's AppArmor profile: starts, and writes settings by the second mount",
  { skip },
  async t => {
    const only = '-all,+net_admin,+net_raw';
    const confined = `aa-exec -p ripstop-test -- setpriv --bounding-set=${only} --inh-caps=${only}`;
    const script = `
    mount -t securityfs securityfs /sys/kernel/security || exit 3
    cat >/tmp/profile <<'END'
${profile('ripstop-test')}
END
    apparmor_parser -Kr /tmp/profile || exit 4
    cat >/tmp/node.yaml <<'END'
${JSON.stringify(CONFIGURATION)}
END
    ip link set lo up
    ip link add eth0 type veth peer name eth1 && ip link set eth0 up && ip link set eth1 up
    ip addr add 172.31.0.1/24 dev eth0
    busybox mkdir -p /dev/net; /tmp/modprobe tun
    echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
    carry() {
      ${confined} ${process.execPath} ${MAIN} run /tmp/node.yaml >/tmp/log 2>&1 &
      for second in $(seq 1200); do grep -q '"ready":true' /tmp/log && break; sleep 1; done
      echo "$1: accept_ra $(cat /proc/sys/net/ipv6/conf/flannel.1/accept_ra) profile $(cat /proc/$!/attr/current)"
      kill $!; wait $!; cat /tmp/log
    }
    carry alone
    mkdir -p /host/proc/sys/net && mount --bind /proc/sys/net /host/proc/sys/net || exit 5
    carry mounted`;
    const { code, output } = await runInGuest({ script, timeoutMs: GUEST_MS });
    t.equal(code, 0, output);
    const [alone = '', mounted = ''] = output.split('\nmounted: ');
    t.match(alone, /alone: accept_ra 1 profile ripstop-test \(enforce\)/);
    t.match(alone, /"ready":true/, 'it starts without the settings');
    t.match(
      alone,
      /flannel\.1\/accept_ra cannot be set to 0: writing below \/proc\/sys is denied here \(EACCES\)/,
    );
    t.match(
      mounted,
      /^accept_ra 0 profile ripstop-test \(enforce\)/,
      'the rule does not reach the other path',
    );
    t.match(mounted, /"ready":true/);
    t.notMatch(mounted, /cannot be set/);
  },
);
