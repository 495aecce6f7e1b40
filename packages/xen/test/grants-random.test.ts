import { epyc9124 } from "@hyperwalk/cpu";
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import type { Domain } from "../src/domain.ts";
import { DOMID_SELF } from "../src/event-channel.ts";
import { mapGrantRef, unmapGrantRef } from "../src/grant-map.ts";
import { P2mType } from "../src/p2m-type.ts";
import { createXenSystem } from "../src/xen.ts";
import { elfImage } from "./elf-image.ts";

vi.setConfig({ testTimeout: 120_000 }); // simulated work, however slow the host

const MIB = 2 ** 20;
/** Guest frames that the commands use: a few of RAM, a few above it. */
const GFNS = [5, 6, 7, 0x1000, 0x1001, 0x1002] as const;
const REFS = [8, 9, 600] as const;

const domain = fc.nat(2);
const gfn = fc.constantFrom(...GFNS);
const ref = fc.constantFrom(...REFS);
const command = fc.oneof(
  fc.record({
    kind: fc.constant("grant" as const),
    domain,
    to: domain,
    ref,
    gfn,
    flags: fc.constantFrom(1, 1, 1, 5, 0, 3, 0x101),
  }),
  fc.record({ kind: fc.constant("map" as const), domain, to: domain, ref, gfn, readonly: fc.boolean() }),
  fc.record({ kind: fc.constant("unmap" as const), domain, handle: fc.nat(6), gfn }),
  fc.record({
    kind: fc.constant("copy" as const),
    domain,
    to: domain,
    ref,
    gfn,
    flags: fc.nat(3),
    length: fc.nat(5000),
  }),
  fc.record({ kind: fc.constant("version" as const), domain, version: fc.nat(3) }),
  fc.record({ kind: fc.constant("swap" as const), domain, ref, other: ref }),
  fc.record({ kind: fc.constant("give" as const), domain, gfn }),
  fc.record({ kind: fc.constant("take" as const), domain, gfn }),
);

type Command = typeof command extends fc.Arbitrary<infer T> ? T : never;

function run(command: Command, domains: readonly Domain[]): number | boolean {
  const self = domains[command.domain];
  switch (command.kind) {
    case "grant":
      if (command.ref >= self.grantTable.entries) return 0;
      self.grantTable.grant(command.ref, command.flags, domains[command.to].id, command.gfn);
      return 0;
    case "map": {
      const flags = command.readonly ? 6 : 2;
      const dom = domains[command.to].id;
      return mapGrantRef(self, { dom, ref: command.ref, hostAddr: command.gfn * 4096, flags }).status;
    }
    case "unmap":
      return unmapGrantRef(self, command.handle, command.gfn * 4096);
    case "copy": {
      const { flags, length } = command;
      const end = (byRef: boolean) =>
        byRef
          ? { from: command.ref, domid: domains[command.to].id, offset: 0 }
          : { from: command.gfn, domid: DOMID_SELF, offset: 0 };
      const source = end((flags & 1) !== 0);
      const dest = end((flags & 2) !== 0);
      const status = self.grantCopier.copy(self, { source, dest, length: length & 0xffff, flags });
      self.grantCopier.release();
      return status;
    }
    case "version":
      return self.grantTable.setVersion(command.version);
    case "swap":
      return self.grantTable.swap(command.ref, command.other, undefined);
    case "give":
      return self.releaseFrame(command.gfn);
    case "take":
      return self.populateFrame(command.gfn);
  }
}

describe("any sequence of grant operations of three domains", () => {
  it("keeps references, pins and mappings in step, and leaves nothing behind", () => {
    fc.assert(
      fc.property(fc.array(command, { minLength: 40, maxLength: 80, size: "max" }), (commands) => {
        const system = createXenSystem({
          profile: epyc9124,
          domain: {
            image: elfImage({ bits: 64, segments: [{ address: MIB, bytes: 4096 }] }),
            memoryBytes: 8 * MIB,
            abi: "linear",
          },
          peers: [{ memoryBytes: MIB }, { memoryBytes: MIB }],
        });
        const domains = [system.domain, ...system.peers.map((peer) => peer.domain)];
        const { frameTable } = system;
        const ram = domains.flatMap((each) => [5, 6, 7].map((gfn) => each.p2m.translate(gfn)));
        for (const each of commands) run(each, domains);
        const mapped = new Map<number, number>();
        for (const { p2m } of domains)
          for (const gfn of GFNS) {
            const type = p2m.typeAt(gfn);
            if (type !== P2mType.GrantMapRw && type !== P2mType.GrantMapRo) continue;
            const frame = p2m.translate(gfn);
            mapped.set(frame, (mapped.get(frame) ?? 0) + 1);
          }
        for (const frame of ram) {
          const own = frameTable.isAllocated(frame) ? 1 : 0;
          expect(frameTable.references(frame)).toBe(own + (mapped.get(frame) ?? 0));
        }
        const handles = domains.reduce((sum, { grantTable }) => sum + grantTable.maptrack.used, 0);
        expect(handles).toBe([...mapped.values()].reduce((sum, count) => sum + count, 0));
        for (const each of domains)
          for (let handle = 0; handle < 256; handle++)
            for (const gfn of GFNS) unmapGrantRef(each, handle, gfn * 4096);
        for (const { grantTable } of domains) {
          expect(grantTable.maptrack.used).toBe(0);
          for (const ref of REFS) expect(grantTable.active.pinOf(ref)).toBe(0);
        }
        for (const frame of ram)
          expect(frameTable.references(frame)).toBe(frameTable.isAllocated(frame) ? 1 : 0);
      }),
      { numRuns: 30, interruptAfterTimeLimit: 60_000 },
    );
  });
});
