import { epyc9124, skylakeSp } from "@hyperwalk/cpu";
import {
  createXenSystem,
  decodeSnapshot,
  encodeSnapshot,
  type PlainData,
  SnapshotError,
  type XenSystem,
} from "@hyperwalk/xen";
import { elfImage } from "../../packages/xen/test/elf-image.js";
import type { FuzzKind } from "./fuzz-kind.js";
import type { Random } from "./random.js";

const CODE = 0x100000;

/** Snapshots with bytes changed, cut off or added, and with values of other kinds and sizes in a whole one. */
export const snapshots: FuzzKind = {
  name: "snapshots",
  typed: [SnapshotError],
  run: (random) => {
    const intel = random.oneIn(2);
    const system = guest(intel);
    system.run({ maxInstructions: random.below(200) });
    const bytes = encodeSnapshot(system.snapshot());
    guest(intel).restore(
      random.oneIn(2) ? decodeSnapshot(spoilBytes(bytes, random)) : spoil(decodeSnapshot(bytes), random),
    );
  },
};

function guest(intel: boolean): XenSystem {
  const system = createXenSystem({
    profile: intel ? skylakeSp : epyc9124,
    domain: {
      image: elfImage({ bits: 64, segments: [{ address: CODE, bytes: 4096 }] }),
      memoryBytes: 2 ** 21,
      abi: "linear",
    },
  });
  // mov al, 'x'; out e9h, al; inc dword [5000h]; jmp back
  const code = [0xb0, 0x78, 0xe6, 0xe9, 0xff, 0x05, 0, 0x50, 0, 0, 0xeb, 0xf4];
  system.domain.guestMemory.writeBytes(CODE, Uint8Array.from(code));
  return system;
}

function spoilBytes(bytes: Uint8Array, random: Random): Uint8Array {
  const spoiled = bytes.slice(0, random.oneIn(3) ? random.below(bytes.length) : bytes.length);
  for (let i = random.below(4); i >= 0 && spoiled.length > 0; i--)
    spoiled[random.below(random.oneIn(2) ? Math.min(40, spoiled.length) : spoiled.length)] = random.byte();
  return random.oneIn(8) ? Uint8Array.from([...spoiled.subarray(0, 100), ...random.bytes(10)]) : spoiled;
}

/** Puts something else in one place. */
function spoil(data: PlainData, random: Random): PlainData {
  if (typeof data !== "object" || ArrayBuffer.isView(data) || random.oneIn(12)) return other(random);
  const keys = Object.keys(data);
  if (keys.length === 0) return other(random);
  const key = random.pick(keys);
  const value = spoil((data as Readonly<Record<string, PlainData>>)[key], random);
  if (!Array.isArray(data)) return { ...data, [key]: value };
  return data.map((item: PlainData, i: number) => (String(i) === key ? value : item));
}

function other(random: Random): PlainData {
  return random.pick<PlainData>([
    undefined,
    random.value(),
    -1,
    Number.NaN,
    2 ** 53,
    "text",
    true,
    [],
    [random.value(), random.value()],
    {},
    new Uint8Array(random.below(5000)),
    new Int32Array(random.below(5000)).fill(random.value()),
    new Float64Array(random.below(5000)).fill(random.value()),
  ]);
}
