import { ignoreErrors } from '../error.ts';
import { headerU32 } from '../rtnetlink/attributes.ts';
import { MessageWriter, NLM_F_CREATE, NLM_F_EXCL } from '../rtnetlink/message.ts';
import {
  filterInfo,
  INGRESS_HANDLE,
  RTM_DELQDISC,
  RTM_NEWQDISC,
  RTM_NEWTFILTER,
  TC_H_INGRESS,
  TCA_KIND,
  TCA_OPTIONS,
  tcHeader,
} from '../rtnetlink/qdisc.ts';
import type { NetlinkSocket } from '../rtnetlink/socket.ts';

/*
 * BPF classifiers at the clsact hooks of a device (linux/pkt_sched.h, pkt_cls.h). Other programs may have classifiers at
 * the same hooks: ours has a priority of its own, and the hooks stay while anyone uses them.
 */

const RTM_DELTFILTER = 45;
const RTM_GETTFILTER = 46;
/** Parents of filters in clsact; the ingress queue knows the first one as well. */
const HOOKS = { ingress: 0xfffffff2, egress: 0xfffffff3 } as const;
const TCA_BPF_FD = 6;
const TCA_BPF_NAME = 7;
const TCA_BPF_FLAGS = 8;
const TCA_BPF_FLAG_ACT_DIRECT = 1;
/** Of slot 0. After the classifiers of other programs, which mostly take small numbers. */
const PRIORITY = 49_152;

/** `egress`: what the kernel sends by the device. `ingress`: what comes in by it. */
export type Hook = keyof typeof HOOKS;

/** Where a program is attached. Each slot of a hook has room for one. */
export interface Place {
  readonly link: number;
  readonly hook: Hook;
  readonly slot: number;
}

/**
 * Runs a program for every packet at a hook of a device, in place of the one that an earlier call left in the slot.
 * @param program descriptor of a BPF_PROG_TYPE_SCHED_CLS program
 * @throws NetError
 */
export function attachClassifier(socket: NetlinkSocket, place: Place, program: number): void {
  const { link, hook, slot } = place;
  const what = `count packets at the ${hook} hook of device ${link}`;
  const queue = new MessageWriter(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, what);
  tcHeader(queue, link, INGRESS_HANDLE, TC_H_INGRESS).attributeText(TCA_KIND, 'clsact');
  // EEXIST: clsact is there, or the ingress queue, which has the ingress hook only.
  ignoreErrors(['EEXIST'], () => socket.request(queue));
  deleteFilter(socket, place);
  const filter = new MessageWriter(RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, what);
  tcHeader(filter, link, 0, HOOKS[hook], filterInfo(PRIORITY + slot));
  filter.attributeText(TCA_KIND, 'bpf').nested(TCA_OPTIONS, options => {
    options.attributeU32(TCA_BPF_FD, program);
    options.attributeText(TCA_BPF_NAME, 'ripstop');
    options.attributeU32(TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
  });
  socket.request(filter);
}

/** Takes our program away, and clsact with it when no other program uses it. Does nothing for a device that is gone. @throws NetError */
export function detachClassifier(socket: NetlinkSocket, place: Place): void {
  const { link } = place;
  deleteFilter(socket, place);
  if (isUsed(socket, link)) return;
  const queue = new MessageWriter(RTM_DELQDISC, 0, `delete clsact of device ${link}`, [
    'ENOENT',
    'ENODEV',
    'EINVAL',
  ]);
  socket.request(tcHeader(queue, link, INGRESS_HANDLE, TC_H_INGRESS));
}

function deleteFilter(socket: NetlinkSocket, { link, hook, slot }: Place): void {
  const what = `stop counting packets at the ${hook} hook of device ${link}`;
  const filter = new MessageWriter(RTM_DELTFILTER, 0, what, ['ENOENT', 'ENODEV', 'EINVAL']);
  tcHeader(filter, link, 0, HOOKS[hook], filterInfo(PRIORITY + slot)).attributeText(TCA_KIND, 'bpf');
  socket.request(filter);
}

function isUsed(socket: NetlinkSocket, link: number): boolean {
  return Object.values(HOOKS).some(hook => {
    const writer = tcHeader(
      new MessageWriter(RTM_GETTFILTER, 0, `list classifiers of device ${link}`),
      link,
      0,
      hook,
    );
    const links = socket.list(writer, RTM_NEWTFILTER, ({ payload }) => headerU32(payload, 4));
    return links.includes(link);
  });
}
