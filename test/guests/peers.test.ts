import { epyc9124, skylakeSp } from "@hyperwalk/cpu";
import { defineGuest } from "@hyperwalk/guest-sdk";
import { createXenSystem, decodeSnapshot, encodeSnapshot, type XenSystem } from "@hyperwalk/xen";
import { describe, expect, it, vi } from "vitest";
import { ABIS, type AbiName } from "./boot.js";

vi.setConfig({ testTimeout: 60_000 }); // simulated work, however slow the host

const PEER = 2;

function start(abi: AbiName, image: Uint8Array, vcpus = 1, profile = epyc9124): XenSystem {
  return createXenSystem({
    profile,
    domain: { image, memoryBytes: 64 * 2 ** 20, abi, vcpus },
    peers: [{ memoryBytes: 2 ** 20 }],
  });
}

/** Waits until a peer has bound its port and sends, and answers. */
const waits = defineGuest("waits", (g) => {
  const { eventChannel, sched } = g.hypercall;
  const port = eventChannel.allocUnbound({ dom: 0x7ff0, remoteDom: PEER }).output("port");
  g.printDecimal(port);
  const call = g.abi === "fastabi" ? sched.poll({ timeout: 0, port }) : sched.block();
  const result = call.result();
  g.when(result, "e", 0, () => g.print(" woken"));
  const sent = eventChannel.send({ port }).result();
  g.when(sent, "e", 0, () => g.print(" sent\n"));
});

describe("a guest and a peer", () => {
  it("find Xen's errors between each other", () => {
    const guest = defineGuest("refused", (g) => {
      const { eventChannel } = g.hypercall;
      const print = (call: { result(): ReturnType<typeof g.variable> }) => {
        const result = call.result();
        g.subtract(result, 1);
        for (const [name, errno] of Object.entries({ EPERM: 1, ESRCH: 3, EINVAL: 22 }))
          g.when(result, "e", -errno - 1, () => g.print(`${name} `));
        g.when(result, "e", -1, () => g.print("0 "));
        result.release();
      };
      print(eventChannel.allocUnbound({ dom: PEER, remoteDom: 0x7ff0 }));
      print(eventChannel.allocUnbound({ dom: 9, remoteDom: 0x7ff0 }));
      print(eventChannel.bindInterdomain({ remoteDom: PEER, remotePort: 1 }));
      print(eventChannel.bindInterdomain({ remoteDom: 9, remotePort: 1 }));
      print(eventChannel.bindInterdomain({ remoteDom: PEER, remotePort: 3 }));
      print(eventChannel.status({ dom: PEER, port: 3 }));
      print(eventChannel.reset({ dom: PEER }));
      g.print("\n");
    });
    for (const abi of ABIS) {
      const system = start(abi, guest.build({ abi, vendor: "amd" }));
      const [peer] = system.peers;
      expect(peer.allocUnbound(1)).toBe(3);
      expect(system.run({ maxInstructions: 1_000_000 })).toMatchObject({ reason: "shutdown" });
      expect(system.console).toBe("EPERM ESRCH EINVAL ESRCH 0 EPERM EPERM \n");
      expect(peer.status(3)).toMatchObject({ status: 2, remote: 1 });
      expect(peer.takeEvents()).toEqual([]);
    }
  });

  it.each([1, 2])("wake each other between two runs, with %i vCPUs, and after a snapshot", (vcpus) => {
    for (const [abi, profile] of [
      ["linear", epyc9124],
      ["fastabi", skylakeSp],
    ] as const) {
      const image = waits.build({ abi, vendor: profile.vendor });
      const before = start(abi, image, vcpus, profile);
      const budget = { maxInstructions: 1_000_000 };
      expect(before.run(budget)).toMatchObject({ reason: "halted" });
      expect(before.run(budget)).toMatchObject({ reason: "halted" }); // nobody has come
      const system = start(abi, image, vcpus, profile);
      system.restore(decodeSnapshot(encodeSnapshot(before.snapshot())));
      const [peer] = system.peers;
      const theirs = peer.bindInterdomain(1, 3);
      expect(peer.takeEvents()).toEqual([theirs]);
      expect(peer.send(theirs)).toBe(0);
      expect(system.run(budget)).toMatchObject({ reason: "shutdown", shutdown: "poweroff" });
      expect(system.console).toBe("3 woken sent\n");
      expect(peer.takeEvents()).toEqual([theirs]);
    }
  });
});
