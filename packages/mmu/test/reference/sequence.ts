import { FaultKind, MmuCounter, type TranslationContext } from "@hyperwalk/mmu";
import { TABLE_BASE, type TestMachine } from "../machine.js";
import type { Bench } from "./bench.js";
import { Cached } from "./cached.js";
import type { Access, Outcome } from "./entry.js";
import { ownerOf, pageOf, ReferenceMmu, tagsOf, type Way } from "./reference-mmu.js";
import { Draw, HOST_WIDTH, World } from "./world.js";

export type StepName = "access" | "wild" | "edit" | "invalidate" | "control" | "switch" | "timing";

/** One step: `pick` chooses among what the step can do. */
export interface Step {
  readonly step: StepName;
  readonly pick: number;
  readonly how: number;
}

const KINDS = ["read", "write", "fetch", "readSystem", "writeSystem"] as const;
const LOG_ADDRESS = (TABLE_BASE + 0x100) * 4096;

/** A disagreement between the Mmu and the manuals. */
export class Disagreement extends Error {}

/** What a sequence came upon, so that a test can tell whether it reached everything. */
export interface Seen {
  readonly outcomes: Set<number>;
  /** Accesses that used a translation which the tables no longer hold. */
  stale: number;
  accesses: number;
  logged: number;
  /** Accesses while timing was off: those that believed an earlier translation, those that walked. */
  readonly untimed: [known: number, walked: number];
}

/**
 * Runs one random world through the Mmu beside the reference. Success: the frame is one that the tables, or something
 * cached from them and not invalidated since, lead to. Fault: exactly the report of a walk of the tables as they are.
 * Flags: those that the walk sets, no others.
 */
export class Sequence {
  private readonly world: World;
  private readonly machine: TestMachine;
  private readonly cached = new Cached();
  private readonly shadow = new Map<number, number>();
  private context: TranslationContext;
  private readonly seen: Seen;

  constructor(seed: number, bench: Bench, seen: Seen) {
    const contexts = bench.clear();
    this.machine = bench.machine;
    this.world = new World(this.machine.memory, contexts, new Draw(seed));
    this.seen = seen;
    this.context = this.world.contexts[0];
    this.machine.mmu.activate(this.context);
    this.copyEntries();
  }

  run(steps: readonly Step[]): void {
    for (const step of steps) this.step(step);
    this.compareMemory();
  }

  private step({ step, pick, how }: Step): void {
    const { world } = this;
    switch (step) {
      case "access":
        this.access(world.address(pick), KINDS[how % KINDS.length]);
        break;
      case "wild":
        // Any 64-bit address; outside long mode any 32-bit one.
        this.access(
          (BigInt(world.paging >= 4 ? Math.imul(pick, 0x9e3779b1) >>> 0 : 0) << 32n) | BigInt(pick & ~7),
          KINDS[how % KINDS.length],
        );
        break;
      case "edit":
        world.edit(pick);
        this.copyEntries();
        break;
      case "invalidate":
        this.invalidate(how % 12, pick);
        break;
      case "control":
        world.control(this.context);
        this.machine.mmu.reload();
        break;
      case "timing":
        this.machine.mmu.setTimed(!this.machine.mmu.timed);
        break;
      default:
        this.context = world.contexts[pick % world.contexts.length];
        this.machine.mmu.activate(this.context);
    }
  }

  /** Each with the rule of the manual for it. */
  private invalidate(which: number, pick: number): void {
    const { cached, context, world } = this;
    const { mmu } = this.machine;
    const { asid, pcid } = context;
    const linear = world.address(pick);
    const page = pageOf(linear);
    const [lo, hi] = words(linear);
    const otherAsid = (pick >>> 3) % 3;
    const otherPcid = (pick >>> 5) & 1;
    const flag = ((pick >>> 6) & 1) === 1;
    switch (which) {
      case 0:
      case 1:
        mmu.invalidatePage(lo, hi);
        cached.invlpg(asid, pcid, page);
        break;
      case 2:
        mmu.invalidatePcidPage(otherPcid, lo, hi);
        cached.invpcidPage(asid, otherPcid, page);
        break;
      case 3:
        mmu.invalidatePcid(otherPcid, true);
        cached.pcid(asid, otherPcid);
        break;
      case 4:
        mmu.invalidateAsid(otherAsid, flag);
        cached.asid(otherAsid, flag);
        break;
      case 5:
        mmu.invalidateAll();
        cached.everything();
        break;
      case 6:
        mmu.invalidateNested(flag ? (pick >>> 7) & 1 : -1);
        cached.invept(flag ? ((pick >>> 7) & 1) + 1 : 0);
        break;
      case 7:
        mmu.invlpga(lo, hi, otherAsid);
        cached.asidPage(otherAsid, page);
        break;
      case 8:
        mmu.invvpidAddress(otherAsid, lo, hi);
        cached.asidPage(otherAsid, page);
        break;
      case 9:
        mmu.invvpidAll();
        cached.guests();
        break;
      case 10:
        mmu.flushCaches();
        break;
      default:
        mmu.invalidatePage(lo, hi);
        cached.invlpg(asid, pcid, page);
        break;
    }
  }

  private access(linear: bigint, kind: (typeof KINDS)[number]): void {
    const { machine, context, cached, seen, world } = this;
    const { mmu, memory } = machine;
    const access: Access = {
      linear,
      write: kind.startsWith("write"),
      fetch: kind === "fetch",
      system: kind.endsWith("System"),
    };
    const everyWay = (remembered: Cached | undefined): Way[] =>
      new ReferenceMmu(memory, context, HOST_WIDTH, remembered).ways(access);
    let ways = everyWay(cached);
    const [lo, hi] = words(linear);
    const walksBefore = this.walks;
    const indexBefore = world.log?.index ?? 0;
    const at = kind === "fetch" ? mmu.fetch(lo, hi) : mmu[kind](lo, hi, 8);
    const walked = this.walks !== walksBefore;
    if (!mmu.timed) seen.untimed[walked ? 1 : 0]++;
    const { fault } = mmu;
    const beyondRam = at < 0 && fault.kind === FaultKind.NoRam;
    const fits = (way: Way): boolean => {
      if (way.outcome.kind !== FaultKind.None || way.cached === walked) return false;
      const frame = way.outcome.frame!;
      if (beyondRam) return frame === fault.gfn && !memory.isRam(frame);
      return (
        at >= 0 &&
        memory.isRam(frame) &&
        memory.frameOffset(frame) + Number(linear & 4095n) === at &&
        way.must.every((f) => (memory.readU32(f.address) & f.bits) === f.bits)
      );
    };
    // Flags that a walk has set count for its later steps, and a walk that failed through something cached has set some
    // before the walk from the root began: what is possible afterwards is possible too.
    const changed = this.changedEntries();
    const before = changed.map((address): [number, number] => [address, this.shadow.get(address)!]);
    if (changed.length > 0) ways = [...ways, ...everyWay(cached)];
    const fitting = ways.filter(fits);
    this.compareFlags(changed, ways, indexBefore);
    seen.accesses++;
    if (fitting.length > 0) {
      seen.outcomes.add(beyondRam ? FaultKind.NoRam : FaultKind.None);
      if (ways.some((way) => way.outcome.frame !== fitting[0].outcome.frame)) {
        const now = everyWay(undefined)[0].outcome;
        if (now.frame !== fitting[0].outcome.frame) seen.stale++;
      }
      if (walked) cached.add(fitting.flatMap((way) => way.items));
      return;
    }
    if (at >= 0) throw new Disagreement(this.report(access, `reached arena offset ${at}`, ways));
    // A fault never rests on anything stale.
    const fresh = everyWay(undefined);
    // A walk that sets flags in tables that it itself goes through may be judged by the tables as they were before.
    const earlier = this.withEntries(before, () => everyWay(undefined));
    const { kind: reported, errorCode, infoHi, gfn, gfnOffset } = fault;
    const linearOnly = reported === FaultKind.PageFault || reported === FaultKind.NonCanonical;
    const actual: Outcome = linearOnly
      ? { kind: reported, errorCode, infoHi }
      : { kind: reported, errorCode, infoHi, gfn, gfnOffset };
    if (![...fresh, ...earlier].some((way) => equal(way.outcome, actual)))
      throw new Disagreement(this.report(access, `got ${JSON.stringify(actual)}`, fresh));
    if (fault.linearLo !== lo || fault.linearHi !== hi)
      throw new Disagreement(this.report(access, "reported another linear address", fresh));
    seen.outcomes.add(reported);
    const stageFault = reported === FaultKind.EptViolation || reported === FaultKind.NestedPageFault;
    if (stageFault) cached.stageFault(ownerOf(context), gfn);
    if (stageFault || reported === FaultKind.PageFault) cached.fault(tagsOf(context), pageOf(linear));
  }

  /** Walks so far; those of a time without timing are counted inside only. */
  private get walks(): number {
    const { mmu } = this.machine;
    const { port } = mmu as unknown as { readonly port: { readonly counters: Float64Array } };
    return port.counters[MmuCounter.Walks];
  }

  /** Runs something with entries set back to what they were. */
  private withEntries(before: readonly [address: number, value: number][], run: () => Way[]): Way[] {
    if (before.length === 0) return [];
    const { memory } = this.machine;
    const after = before.map(([address]) => memory.readU32(address));
    for (const [address, value] of before) memory.writeU32(address, value);
    const ways = run();
    for (const [i, [address]] of before.entries()) memory.writeU32(address, after[i]);
    return ways;
  }

  private changedEntries(): number[] {
    const changed: number[] = [];
    for (const [address, old] of this.shadow)
      if (this.machine.memory.readU32(address) !== old) changed.push(address);
    return changed;
  }

  /** Entries that changed must have got flags that some way sets; a log names every page that became dirty. */
  private compareFlags(addresses: readonly number[], ways: readonly Way[], indexBefore: number): void {
    const { machine, shadow, world, seen } = this;
    if (addresses.length === 0 && (world.log?.index ?? 0) === indexBefore) return;
    const may = ways.flatMap((way) => way.may);
    let becameDirty = 0;
    for (const address of addresses) {
      const old = shadow.get(address)!;
      const now = machine.memory.readU32(address);
      const flags = may.filter((f) => f.address === address);
      const allowed = flags.reduce((bits, f) => bits | f.bits, 0);
      const changed = (now ^ old) >>> 0;
      if ((now & changed) >>> 0 !== changed || (changed & ~allowed) !== 0)
        throw new Disagreement(
          `entry at 0x${address.toString(16)} went from 0x${old.toString(16)} to 0x${now.toString(16)}`,
        );
      if (flags.some((f) => f.gfn !== undefined && (f.bits & changed) !== 0)) becameDirty++;
      shadow.set(address, now);
    }
    const { log } = world;
    if (log === undefined) return;
    const written = (indexBefore - log.index) & 0xffff;
    if (written !== becameDirty)
      throw new Disagreement(`${becameDirty} pages became dirty, ${written} were logged`);
    for (let i = 0; i < written; i++) {
      const slot = indexBefore - i;
      const gpa = machine.memory.readU64(LOG_ADDRESS + slot * 8);
      if (slot < 0 || slot > 511 || !may.some((f) => f.gfn !== undefined && BigInt(f.gfn) << 12n === gpa))
        throw new Disagreement(`log entry ${slot} holds 0x${gpa.toString(16)}`);
      seen.logged++;
    }
  }

  private copyEntries(): void {
    for (const address of this.world.entries.keys())
      this.shadow.set(address, this.machine.memory.readU32(address));
  }

  /** Nothing was written but known entries and the log, and every cycle was charged once. */
  private compareMemory(): void {
    const { machine, world } = this;
    const frames = new Map<number, number[]>();
    for (const address of world.entries.keys()) {
      const frame = Math.floor(address / 4096);
      frames.set(frame, [...(frames.get(frame) ?? []), address]);
    }
    for (const [frame, known] of frames) {
      const bytes = new Uint32Array(machine.memory.readBytes(frame * 4096, 4096).buffer);
      for (const address of known)
        for (let i = 0; i < world.entries.get(address)!; i += 4) bytes[((address % 4096) + i) >> 2] = 0;
      if (bytes.some((word) => word !== 0))
        throw new Disagreement(`frame 0x${frame.toString(16)} was written beside its entries`);
    }
    if (machine.charged !== machine.ledger.clock[0])
      throw new Disagreement("the ledger's cells do not add up to the clock");
  }

  private report(access: Access, what: string, ways: readonly Way[]): string {
    const { user, ac, paging, asid, pcid } = this.context;
    const target = `0x${access.linear.toString(16)} (${JSON.stringify({ ...access, linear: undefined, user, ac })})`;
    const expected = ways.map((way) => JSON.stringify({ ...way.outcome, cached: way.cached }));
    const space = `paging ${paging}, ${this.world.stage}, asid ${asid}, pcid ${pcid}`;
    return `${space}: access to ${target} ${what}; the manuals permit\n${[...new Set(expected)].join("\n")}`;
  }
}

function words(linear: bigint): [lo: number, hi: number] {
  return [Number(linear & 0xffffffffn) | 0, Number(linear >> 32n) | 0];
}

function equal(a: Outcome, b: Outcome): boolean {
  return (
    a.kind === b.kind &&
    a.errorCode === b.errorCode &&
    a.infoHi === b.infoHi &&
    a.gfn === b.gfn &&
    a.gfnOffset === b.gfnOffset
  );
}
