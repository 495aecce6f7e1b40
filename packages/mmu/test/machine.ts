import {
  Arena,
  CycleLedger,
  EptTables,
  type MemoryProfile,
  Mmu,
  type MmuOptions,
  NptTables,
  PhysicalMemory,
  type RadixTables,
  type TranslationContext,
} from "@hyperwalk/mmu";

/** Zen 4-like geometry with small, easily exhausted caches; every test may override parts. */
export const SMALL: MemoryProfile = {
  l1i: { bytes: 4096, ways: 4, latency: 4, replacement: "lru" },
  l1d: { bytes: 4096, ways: 4, latency: 4, replacement: "lru" },
  l2: { bytes: 16384, ways: 8, latency: 14, replacement: "lru" },
  l3: { bytes: 65536, ways: 16, latency: 50, replacement: "lru", policy: "victim" },
  dramLatency: 300,
  overlap: { load: 0.5, store: 0.75, fetch: 0.25 },
  l1Dtlb: [{ entries: 8, ways: 8, pages: ["4k", "2m", "1g"], replacement: "lru" }],
  l1Itlb: [{ entries: 8, ways: 8, pages: ["4k", "2m", "1g"], replacement: "lru" }],
  l2Dtlb: [
    { entries: 32, ways: 4, pages: ["4k", "2m"], replacement: "lru" },
    { entries: 4, ways: 4, pages: ["1g"], replacement: "lru" },
  ],
  l2Itlb: [{ entries: 16, ways: 4, pages: ["4k", "2m"], replacement: "lru" }],
  l2TlbLatency: 7,
  pagingStructureCaches: [
    { levels: [5, 4, 3], entries: 8, ways: 8 },
    { levels: [2], entries: 16, ways: 4 },
  ],
  nestedPagingStructureCaches: [
    { levels: [5, 4, 3], entries: 8, ways: 8 },
    { levels: [2], entries: 16, ways: 4 },
  ],
  nestedTlb: { entries: 16, ways: 4 },
  physicalAddressBits: 48,
};

/** Zen 4 as in the processor profile, without provenance. */
export const ZEN4: MemoryProfile = {
  ...SMALL,
  l1i: { bytes: 32768, ways: 8, latency: 4, replacement: "lru" },
  l1d: { bytes: 32768, ways: 8, latency: 4, replacement: "lru" },
  l2: { bytes: 1048576, ways: 8, latency: 14, replacement: "lru" },
  l3: { bytes: 16777216, ways: 16, latency: 50, replacement: "lru", policy: "victim" },
  l1Dtlb: [{ entries: 72, ways: 72, pages: ["4k", "2m", "1g"], replacement: "lru" }],
  l1Itlb: [{ entries: 64, ways: 64, pages: ["4k", "2m", "1g"], replacement: "lru" }],
  l2Dtlb: [
    { entries: 3072, ways: 24, pages: ["4k", "2m"], replacement: "lru" },
    { entries: 64, ways: 64, pages: ["1g"], replacement: "lru" },
  ],
  l2Itlb: [{ entries: 512, ways: 4, pages: ["4k", "2m"], replacement: "lru" }],
  l2TlbLatency: 5,
  pagingStructureCaches: [
    { levels: [4, 3], entries: 64, ways: 64 },
    { levels: [2], entries: 512, ways: 8 },
  ],
  nestedPagingStructureCaches: [
    { levels: [4, 3], entries: 32, ways: 32 },
    { levels: [2], entries: 128, ways: 8 },
  ],
  nestedTlb: { entries: 64, ways: 8 },
  physicalAddressBits: 52,
};

/** Machine frames: guest memory from 1 GiB aligned GUEST_BASE, tables of the host from TABLE_BASE. */
export const TABLE_BASE = 0x1000;
export const GUEST_BASE = 0x40000;
export const RAM_FRAMES = 0x200000;

/** One logical processor with RAM and a frame allocator for host tables. */
export class TestMachine {
  readonly arena: Arena;
  readonly memory: PhysicalMemory;
  readonly ledger: CycleLedger;
  readonly mmu: Mmu;
  private nextTable = TABLE_BASE;

  constructor(
    profile: MemoryProfile = SMALL,
    options: MmuOptions = {},
    arenaBytes: number = 16 * 1024 * 1024,
  ) {
    this.arena = new Arena(arenaBytes);
    this.memory = new PhysicalMemory(this.arena);
    this.memory.addRam(0, RAM_FRAMES);
    this.ledger = new CycleLedger(this.arena);
    this.mmu = new Mmu(this.arena, this.memory, this.ledger, profile, options);
  }

  readonly allocate = (): number => this.nextTable++;

  context(fields: Partial<TranslationContext>): TranslationContext {
    return Object.assign(this.mmu.createContext(), fields);
  }

  stage(format: "npt" | "ept", levels: 4 | 5 = 4): RadixTables {
    const options = { memory: this.memory, allocate: this.allocate };
    return format === "npt" ? new NptTables(options, levels) : new EptTables(options, levels);
  }

  get counters(): Float64Array {
    return this.mmu.counters;
  }

  /** Sum of all ledger cells, in ticks. */
  get charged(): number {
    return this.ledger.rows().reduce((sum, row) => sum + row.ticks, 0);
  }
}

/** All state of a machine as hashes of its parts: equal exactly when the states are (FNV-1a, 2 x 32 bits). */
export function bytesOf(m: TestMachine): Record<string, string> {
  const parts: Record<string, string> = {};
  const visit = (name: string, value: unknown): void => {
    if (ArrayBuffer.isView(value))
      parts[name] = hash(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
    else if (typeof value === "object" && value !== null)
      for (const [key, inner] of Object.entries(value)) visit(`${name}.${key}`, inner);
    else parts[name] = String(value);
  };
  visit("mmu", m.mmu.snapshot());
  visit("memory", m.memory.snapshot());
  return parts;
}

function hash(bytes: Uint8Array): string {
  let a = 0x811c9dc5;
  let b = 0x01234567;
  for (const byte of bytes) {
    a = Math.imul(a ^ byte, 0x01000193);
    b = Math.imul(b + byte, 0x85ebca6b) ^ (b >>> 13);
  }
  return `${bytes.length}:${a >>> 0}:${b >>> 0}`;
}
