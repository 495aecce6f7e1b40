import { atLabel, defineGuest, descriptorOf, type Guest, resized } from "@hyperwalk/guest-sdk";

/** Xen's number for the domain that asks. */
const SELF = 0x7ff0;

/** A guest that makes calls of several kinds: with and without structs, nested buffers, results that depend on state. */
export const severalCalls: Guest = defineGuest("several-calls", (g) => {
  const text = g.buffer(1024);
  const list = g.buffer(1024, 1024);
  g.repeat(4, () => {
    g.hypercall.version.version();
    g.hypercall.vcpu.getRunstateInfo({ vcpuid: 0 });
    if (g.abi !== "fastabi") g.hypercall.version.extraversion({ buffer: text });
    const port = g.hypercall.eventChannel.allocUnbound({ dom: SELF, remoteDom: SELF }).output("port");
    g.hypercall.eventChannel.status({ dom: SELF, port });
    g.hypercall.eventChannel.close({ port });
    // A second time: refused.
    g.hypercall.eventChannel.close({ port });
    port.release();
    g.hypercall.vcpu.isUp({ vcpuid: 7 });
    if (g.abi !== "fastabi") g.hypercall.vmAssist.set({ cmd: 1, type: 5 });
  });
  if (g.abi === "fastabi") return;
  // Of three xen_version calls the last has a buffer.
  const store = (offset: number, value: number) => {
    const variable = g.variable(value);
    g.asm.mov(atLabel(list.label, offset), resized(variable.register, 64));
    variable.release();
  };
  for (const entry of [0, 1, 2]) store(64 * entry, 17);
  store(64 * 2 + 16, 1);
  const address = g.variable(text);
  g.asm.mov(atLabel(list.label, 64 * 2 + 24), address.register);
  address.release();
  g.repeat(3, () => {
    g.call(descriptorOf("multicall.call"), { call_list: list, nr_calls: 3 });
  });
});
