import { epyc9124, skylakeSp } from "@hyperwalk/cpu";
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { HVM_PARAM_STORE_EVTCHN, HVM_PARAM_STORE_PFN } from "../src/operations/descriptors.gen.ts";
import { decodeSnapshot, encodeSnapshot } from "../src/snapshot/encoding.ts";
import type { PlainData } from "../src/snapshot/plain-data.ts";
import { SnapshotError } from "../src/snapshot/snapshot-error.ts";
import { createXenSystem, type XenSystem } from "../src/xen.ts";
import type { DomainConfig } from "../src/xen-config.ts";
import { elfImage } from "./elf-image.ts";

vi.setConfig({ testTimeout: 60_000 }); // simulated work, however slow the host

const CODE = 0x100000;
/** Offset of the request ring's producer index (public/io/xs_wire.h). */
const REQ_PROD = 2052;

/** Prints and counts for ever, in 32-bit protected mode: mov al, 'x'; out e9h, al; inc dword [5000h]; jmp back. */
function guest(config: Partial<DomainConfig> = {}, profile = epyc9124): XenSystem {
  const system = createXenSystem({
    profile,
    domain: {
      image: elfImage({ bits: 64, segments: [{ address: CODE, bytes: 4096 }] }),
      memoryBytes: 8 * 2 ** 20,
      abi: "linear",
      ...config,
    },
  });
  const code = [0xb0, 0x78, 0xe6, 0xe9, 0xff, 0x05, 0, 0x50, 0, 0, 0xeb, 0xf4];
  system.domain.guestMemory.writeBytes(CODE, Uint8Array.from(code));
  return system;
}

/** A guest with every device that there is: a multiboot header and nothing else. */
function multiboot(): XenSystem {
  const flags = 0x10000; // the header gives the addresses
  const words = [0x1badb002, flags, -(0x1badb002 + flags), CODE, CODE, 0, 0, CODE];
  return guest({ image: new Uint8Array(Int32Array.from(words).buffer), viridian: true });
}

function ran(instructions: number): XenSystem {
  const system = guest();
  system.run({ maxInstructions: instructions });
  return system;
}

/** Code of the SnapshotError that something throws; anything else that it throws goes on. */
function problem(act: () => void): string | undefined {
  try {
    act();
    return undefined;
  } catch (error) {
    if (error instanceof SnapshotError) return error.code;
    throw error;
  }
}

const plain = fc.letrec<{ data: PlainData }>((tie) => ({
  data: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.constant(undefined),
    fc.boolean(),
    fc.integer(),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.string({ unit: "grapheme" }),
    fc.uint8Array(),
    fc.array(fc.integer()).map((values) => Int32Array.from(values)),
    fc
      .array(
        fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, fc.constant(-0), fc.double({ noNaN: true })),
        {
          maxLength: 60,
        },
      )
      .map((values) => Float64Array.from(values)),
    fc.array(tie("data"), { maxLength: 4 }),
    fc.dictionary(fc.string(), tie("data"), { maxKeys: 4, noNullPrototype: true }),
  ),
})).data;

describe("the encoding of snapshots", () => {
  it("gives back what it was given, and the same bytes for it", () => {
    fc.assert(
      fc.property(plain, (data) => {
        const bytes = encodeSnapshot(data);
        const again = decodeSnapshot(bytes);
        expect(again).toEqual(data);
        expect(encodeSnapshot(again)).toEqual(bytes);
      }),
    );
  });

  it("takes few bytes for zeros", () => {
    const sparse = new Int32Array(100_000);
    sparse[50_000] = 7;
    const bytes = encodeSnapshot(sparse);
    expect(bytes.length).toBeLessThan(60);
    expect(decodeSnapshot(bytes)).toEqual(sparse);
  });

  it("says what is wrong with a snapshot that was cut, changed or continued", () => {
    const bytes = encodeSnapshot({ words: Int32Array.of(1, 2, 3), name: "hyperwalk" });
    for (let length = 0; length < bytes.length; length++)
      expect(problem(() => decodeSnapshot(bytes.subarray(0, length)))).toBe(
        length === 0 ? "FOREIGN" : "TRUNCATED",
      );
    for (let at = 0; at < bytes.length; at++) {
      const changed = bytes.slice();
      changed[at] ^= 0x10;
      const kind = at < 14 ? "FOREIGN" : at < 16 ? "VERSION" : undefined;
      const found = problem(() => decodeSnapshot(changed));
      if (kind !== undefined) expect(found).toBe(kind);
      else expect(["CORRUPT", "TRUNCATED"]).toContain(found);
    }
    expect(problem(() => decodeSnapshot(Uint8Array.of(...bytes, 0)))).toBe("CORRUPT");
    expect(problem(() => decodeSnapshot(new TextEncoder().encode("{}")))).toBe("FOREIGN");
  });

  it("refuses what has the right checksum and makes no sense", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 64 }), (body) => {
        const found = problem(() => decodeSnapshot(sealed(body)));
        expect([undefined, "CORRUPT"]).toContain(found);
      }),
      { numRuns: 2000 },
    );
    expect(problem(() => decodeSnapshot(sealed(Uint8Array.of(8, 255, 255, 255, 255))))).toBe("CORRUPT");
    expect(problem(() => decodeSnapshot(sealed(new Uint8Array(4096).fill(6))))).toBe("CORRUPT");
  });
});

/** A file with this body, a right length and a right checksum. */
function sealed(body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(24 + body.length);
  bytes.set(encodeSnapshot(false).subarray(0, 16));
  bytes.set(body, 24);
  const view = new DataView(bytes.buffer);
  view.setUint32(16, body.length, true);
  let crc = -1;
  for (const byte of body) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) !== 0 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  view.setUint32(20, ~crc >>> 0, true);
  return bytes;
}

describe("a system's snapshot", () => {
  it("is refused by systems that were made otherwise, which name the option", () => {
    const snapshot = ran(100).snapshot();
    const others: readonly (readonly [string, XenSystem])[] = [
      ["machine", guest({}, skylakeSp)],
      ["domain.abi", guest({ abi: "fastabi" })],
      ["domain.memoryBytes", guest({ memoryBytes: 16 * 2 ** 20 })],
      ["domain.cmdline", guest({ cmdline: "other" })],
      ["domain.modules", guest({ modules: [{ bytes: Uint8Array.of(1), cmdline: "" }] })],
      ["domain.image", guest({ image: elfImage({ bits: 64, segments: [{ address: CODE, bytes: 4095 }] }) })],
    ];
    for (const [option, system] of others) {
      expect(problem(() => system.restore(snapshot))).toBe("MISMATCH");
      expect(() => system.restore(snapshot)).toThrow(option);
      expect(system.run({ maxInstructions: 50 }).reason).toBe("budget"); // nothing was touched
    }
  });

  it("is refused when a part is missing, of another kind or of another size", () => {
    const whole = ran(100).snapshot();
    const { memory } = whole;
    const [vcpu] = whole.vcpus;
    const { processor } = vcpu;
    const changed = (part: object) => ({ ...whole, vcpus: [{ ...vcpu, ...part }] });
    const wrong: readonly (readonly [unknown, string])[] = [
      [undefined, "missing"],
      [{}, "missing"],
      [{ ...changed({ processor: {} }), domain: undefined, identity: whole.identity }, "processor"],
      [{ ...whole, extra: 1 }, "extra is unknown"],
      [changed({ processor: { ...processor, words: new Int32Array(3) } }), "processor.words has 3"],
      [changed({ processor: { ...processor, words: new Float64Array(384) } }), "processor.words is doubles"],
      [changed({ vcpu: { ...vcpu.vcpu, time: [Number.NaN, 0] } }), "vcpu.time[0]"],
      [{ ...whole, vcpus: [vcpu, vcpu] }, "2 vCPUs instead of 1"],
      [{ ...whole, vcpus: undefined }, "0 vCPUs instead of 1"],
      [{ ...whole, heap: { next: 1, released: [] } }, "Xen's heap"],
      [changed({ cost: { ...vcpu.cost, stages: ["unheard of"] } }), "path-cost stage"],
      [{ ...whole, memory: { frames: [0], bytes: new Uint8Array(4096) } }, "frame 0, which is not RAM"],
      [{ ...whole, memory: { ...memory, bytes: memory.bytes.subarray(1) } }, "memory has"],
    ];
    for (const [snapshot, words] of wrong) {
      const system = guest();
      expect(problem(() => system.restore(snapshot))).toBe("CORRUPT");
      expect(() => guest().restore(snapshot)).toThrow(words);
    }
  });

  it("has every part of a domain in it, each of which comes back", () => {
    const fresh = multiboot().snapshot().domain;
    const system = multiboot();
    const { domain } = system;
    domain.params[3] = 7;
    domain.shutdownReason = 1;
    domain.shutdownCode = 2;
    domain.exitCode = 3;
    domain.vmAssist = 32;
    domain.viridian?.restore({ guestOsId: [1, 2], hypercallPage: [3, 4] });
    domain.mapSharedInfo(0x2000);
    domain.mapFrame(domain.grantTable.sharedFrame(0), 0x110000);
    domain.releaseFrame(0x10);
    domain.conditions.sharing.framesLeft = 9;
    domain.grantTable.setVersion(2);
    domain.eventChannels.bindVirq(0, 0);
    domain.console.writeConsoleIo(Uint8Array.of(0x78));
    for (const device of domain.ports) device.write(device.first + 1, 1, 0x0b);
    domain.guestMemory.writeU32(4096 * domain.params[HVM_PARAM_STORE_PFN] + REQ_PROD, 4); // a part of a request
    domain.eventChannels.send(domain.params[HVM_PARAM_STORE_EVTCHN]);
    const snapshot = system.snapshot();
    for (const part of Object.keys(fresh) as (keyof typeof fresh)[])
      expect(snapshot.domain[part], part).not.toEqual(fresh[part]);
    const other = multiboot();
    other.restore(decodeSnapshot(encodeSnapshot(snapshot)));
    expect(other.snapshot().domain).toEqual(snapshot.domain);
  });
});
